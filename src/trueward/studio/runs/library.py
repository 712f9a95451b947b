"""The runs under a directory, found by their files; requests name them by their path below it."""

from __future__ import annotations

import json
import threading
import time
import tomllib
from collections import OrderedDict
from pathlib import Path
from typing import Any

from trueward.artifacts import OLDER, PIPELINE
from trueward.studio.runs import log, state

DEEPEST = 3  # runs/NAME, runs/SWEEP/NAME, and one more
KEPT = 48  # logs in memory
STAGES = ("sft", "reward_model", "policy", "control")
FRESH_SECONDS = 1.0


class Library:
    """The runs under `home`, listed again when the list is older than a second. Unknown names are refused."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lock = threading.Lock()
        self.logs: OrderedDict[Path, log.Columns] = OrderedDict()
        self.runs: dict[str, Path] = {}
        self.at = 0.0

    def paths(self) -> dict[str, Path]:
        """Name and directory of every run; a name is its path below `home`."""
        with self.lock:
            if time.monotonic() - self.at > FRESH_SECONDS or not self.at:
                self.runs = {path.relative_to(self.home).as_posix(): path for path in _runs(self.home, DEEPEST)}
                self.at = time.monotonic()
            return self.runs

    def path(self, name: str) -> Path:
        """The run's directory. `LookupError` if there is no such run."""
        try:
            return self.paths()[name]
        except KeyError:
            raise LookupError(f"there is no run {name!r}") from None

    def table(self) -> list[dict[str, Any]]:
        """A row for each run, live ones first, then by last write; `differs`: settings in which runs of a recipe differ."""
        locks = state.held()
        rows = [self._row(name, path, locks) for name, path in self.paths().items()]
        groups: dict[Any, list[dict[str, Any]]] = {}
        for row in rows:
            groups.setdefault(row["recipe"], []).append(row)
        for group in groups.values():
            _differences(group)
        return sorted(rows, key=lambda row: (row["state"] not in ("live", "stale"), -row["touched"]))

    def _row(self, name: str, path: Path, locks: set[int] | None) -> dict[str, Any]:
        stages = pipeline_stages(path)
        evaluations = _rows(path / "policy" / "evaluations.jsonl")
        last = evaluations[-1] if evaluations else {}
        report = _json(path / "report.json")
        verdict = (report.get("verdict") or {}) if isinstance(report, dict) else {}
        end = (report.get("policies") or {}).get("policy") or {} if isinstance(report, dict) else {}
        recipe = _recipe(path)
        settings = _flat(recipe)
        return {
            "name": name,
            "recipe": recipe.get("name"),
            "kind": (recipe.get("policy") or {}).get("kind"),
            "seed": recipe.get("seed"),
            "state": state.state(path, stages, locks),
            "touched": state.touched(path),
            "stage": next((s.get("name") for s in stages if s.get("state") != "done"), None),
            "step": last.get("step"),
            "steps": (recipe.get("policy") or {}).get("steps"),
            "verdict": verdict.get("word") or last.get("verdict"),
            "proxy": end.get("proxy", last.get("proxy")),
            "truth": end.get("truth", last.get("truth")),
            "kl": end.get("kl", last.get("kl")),
            "win_rate": end.get("win_rate", last.get("win_rate")),
            "settings": {k: v for k, v in settings.items() if k not in ("name", "description")},
        }

    def run(self, name: str) -> dict[str, Any]:
        """All of a run but its metrics: stages, evaluations, verdict, early warnings, the recipe as written."""
        path = self.path(name)
        stages = pipeline_stages(path)
        report = _json(path / "report.json")
        recipe = _recipe(path)
        whole = isinstance(report, dict)
        return {
            "name": name,
            "recipe": recipe,
            "state": state.state(path, stages, state.held()),
            "touched": state.touched(path),
            "stages": [{key: row.get(key) for key in ("name", "state", "seconds")} for row in stages],
            "evaluations": _rows(path / "policy" / "evaluations.jsonl"),
            "verdict": report.get("verdict") if whole else None,
            "policies": report.get("policies") if whole else None,
            "reward_model": report.get("reward_model") if whole else None,
            "early_warnings": report.get("early_warnings") if whole else None,
            "logs": [stage for stage in STAGES if (path / stage / "metrics.jsonl").is_file()],
        }

    def series(self, name: str, stage: str, most: int) -> dict[str, Any]:
        """A stage's metrics in buckets, and the offset in the log up to which they were read. most: points a column."""
        columns = self._columns(self.path(name) / _known(stage) / "metrics.jsonl")
        columns.update()
        with columns.lock:
            return {**log.buckets(columns.steps, columns.columns, most), "offset": columns.offset}

    def _columns(self, path: Path) -> log.Columns:
        with self.lock:
            columns = self.logs.pop(path, None) or log.Columns(path)
            self.logs[path] = columns
            while len(self.logs) > KEPT:
                self.logs.popitem(last=False)
            return columns

    def samples(self, name: str, step: int | None) -> dict[str, Any]:
        """The steps that have samples, and the samples of one of them: the last one for `step` None."""
        rows = _rows(self.path(name) / "policy" / "samples.jsonl")
        steps = sorted({row["step"] for row in rows if isinstance(row.get("step"), int)})
        at = steps[-1] if step is None and steps else step
        return {"steps": steps, "step": at, "samples": [row for row in rows if row.get("step") == at]}


def _differences(rows: list[dict[str, Any]]) -> None:
    """Replace `settings` by `differs` in rows of one recipe: the optimiser's own settings first."""
    settings = [row.pop("settings") for row in rows]
    keys = sorted({key for each in settings for key in each}, key=lambda key: (not key.startswith("policy."), key))
    varying = [key for key in keys if len({json.dumps(each.get(key)) for each in settings}) > 1]
    for row, each in zip(rows, settings, strict=True):
        row["differs"] = {key: each[key] for key in varying if key in each and not key.startswith("runtime.")}


def _known(stage: str) -> str:
    if stage not in STAGES:
        raise LookupError(f"there is no stage {stage!r} with metrics")
    return stage


def _runs(folder: Path, depth: int) -> list[Path]:
    try:
        inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    except OSError:
        return []
    runs = []
    for path in inside:
        if (path / PIPELINE).is_file() or (path / "recipe.toml").is_file():
            if not is_older(path):
                runs.append(path)
        elif depth > 1 and not path.name.startswith("."):
            runs += _runs(path, depth - 1)
    return runs


def is_older(run: Path) -> bool:
    """Whether it is a run of trueward 0.1, whose files have other names."""
    return (run / OLDER).is_file() and not (run / PIPELINE).is_file()


def pipeline_stages(run: Path) -> list[dict[str, Any]]:
    """A row for each stage, in the order in which they ran: name, state, seconds, digest."""
    rows = _json(run / PIPELINE)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _json(path: Path) -> Any:
    """The JSON in a file; None if it is missing or invalid, so that a page about many runs still works."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _recipe(run: Path) -> dict[str, Any]:
    try:
        return tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _flat(table: dict[str, Any], inside: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{inside}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _rows(path: Path) -> list[dict[str, Any]]:
    """All complete rows of a log, however large."""
    rows: list[dict[str, Any]] = []
    offset = 0
    while (new := log.new_rows(path, offset)) and new[1] > offset:
        rows += new[0]
        offset = new[1]
    return rows
