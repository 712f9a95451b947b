"""The runs under a directory, found by their files; requests name them by their path below it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from trueward.artifacts import OLDER, PIPELINE
from trueward.studio.runs import files, log, state
from trueward.studio.runs.files import DamagedError, Table

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
                self.runs = {
                    files.text(path.relative_to(self.home).as_posix()): path for path in _runs(self.home, DEEPEST)
                }
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
        run = Contents(path)
        stages, recipe, last = run.stages(), run.recipe(), run.last_evaluation()
        report = run.report()
        verdict, end = files.table(report, "verdict"), files.table(files.table(report, "policies"), "policy")
        policy = files.table(recipe, "policy")

        def figure(key: str) -> float | None:
            return files.number(end if key in end else last, key)

        return {
            "name": name,
            "recipe": files.word(recipe, "name"),
            "kind": files.word(policy, "kind"),
            "seed": files.number(recipe, "seed"),
            "state": state.state(path, stages, locks),
            "touched": state.touched(path),
            "stage": next((s.get("name") for s in stages if s.get("state") != "done"), None),
            "step": files.number(last, "step"),
            "steps": files.number(policy, "steps"),
            "verdict": files.word(verdict, "word") or files.word(last, "verdict"),
            "proxy": figure("proxy"),
            "truth": figure("truth"),
            "kl": figure("kl"),
            "win_rate": figure("win_rate"),
            "damage": run.damage(),
            "settings": {k: v for k, v in _flat(recipe).items() if k not in ("name", "description")},
        }

    def run(self, name: str) -> dict[str, Any]:
        """All of a run but its metrics: stages, evaluations, verdict, early warnings, the recipe as written."""
        path = self.path(name)
        run = Contents(path)
        stages, report = run.stages(), run.report()
        evaluations = run.rows("policy/evaluations.jsonl")
        return {
            "name": name,
            "recipe": run.recipe(),
            "state": state.state(path, stages, state.held()),
            "touched": state.touched(path),
            "stages": [{key: row.get(key) for key in ("name", "state", "seconds")} for row in stages],
            "evaluations": evaluations,
            "verdict": files.table(report, "verdict") or None,
            "policies": files.table(report, "policies") or None,
            "reward_model": report.get("reward_model"),
            "early_warnings": report.get("early_warnings"),
            "logs": [stage for stage in STAGES if os.path.isfile(path / stage / "metrics.jsonl")],
            "damage": run.damage(),
        }

    def series(self, name: str, stage: str, most: int) -> dict[str, Any]:
        """A stage's metrics in buckets, and the offset in the log up to which they were read. most: points a column."""
        columns = self._columns(self.path(name) / _known(stage) / "metrics.jsonl")
        columns.update()
        with columns.lock:
            buckets = log.buckets(columns.steps, columns.columns, most)
            return {**files.clean(buckets), "offset": columns.offset}

    def _columns(self, path: Path) -> log.Columns:
        with self.lock:
            columns = self.logs.pop(path, None) or log.Columns(path)
            self.logs[path] = columns
            while len(self.logs) > KEPT:
                self.logs.popitem(last=False)
            return columns

    def samples(self, name: str, step: int | None) -> dict[str, Any]:
        """The steps that have samples, and the samples of one of them: the last one for `step` None."""
        rows = Contents(self.path(name)).rows("policy/samples.jsonl")
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
        inside = sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
    runs = []
    for path in inside:
        if any(os.path.lexists(path / file) for file in (PIPELINE, "recipe.toml")):
            if not is_older(path):
                runs.append(path)
        elif depth > 1 and not path.name.startswith("."):
            runs += _runs(path, depth - 1)
    return runs


def is_older(run: Path) -> bool:
    """Whether it is a run of trueward 0.1, whose files have other names."""
    return os.path.isfile(run / OLDER) and not os.path.lexists(run / PIPELINE)


def pipeline_stages(run: Path) -> list[dict[str, Any]]:
    """A row a stage, in the order in which they ran: name, state, seconds, digest. None if the file is damaged."""
    return Contents(run).stages()


class Contents:
    """What is in a run's directory, as far as it can be read; what can't is remembered in a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged: list[str] = []

    def damage(self) -> str:
        """The first thing that is wrong with what was read, in a line; or nothing."""
        odd = ["its name is not UTF-8"] if files.text(self.path.name) != self.path.name else []
        return next(iter([*self.damaged, *odd]), "")

    def stages(self) -> list[Table]:
        """As `pipeline_stages`."""
        rows = self._json(PIPELINE, list, files.STAGES)
        if not all(isinstance(row, dict) and isinstance(row.get("name"), str) for row in rows):
            self.damaged.append(f"{PIPELINE}: not a list of stages")
        plain: dict[str, Any] = {"name": str, "state": str, "seconds": int | float, "digest": str}
        return [
            {key: row[key] for key, kind in plain.items() if isinstance(row.get(key), kind)}
            for row in rows
            if isinstance(row, dict) and isinstance(row.get("name"), str)
        ]

    def report(self) -> Table:
        """The report; {} if there's none."""
        report: Table = self._json("report.json", dict)
        return report

    def recipe(self) -> Table:
        """The recipe as it is written."""
        try:
            return files.read_toml(self.path / "recipe.toml")
        except DamagedError as error:
            self.damaged.append(str(error))
            return {}

    def rows(self, name: str) -> list[Table]:
        """All whole rows of a log."""
        path = self.path / name
        try:
            if files.size(path) > files.LOG:
                raise DamagedError(f"{path.name}: larger than {files.LOG // files.MB} MB")
            rows: list[Table] = []
            offset = 0
            while (new := log.new_rows(path, offset)) and new[1] > offset:
                rows += files.clean(new[0])
                offset = new[1]
        except DamagedError as error:
            self.damaged.append(str(error))
            return []
        except RecursionError:
            self.damaged.append(f"{path.name}: nested too deeply")
            return []
        return rows

    def last_evaluation(self) -> Table:
        """The last evaluation's row; {} before the first."""
        rows = self.rows("policy/evaluations.jsonl")
        return rows[-1] if rows else {}

    def _json(self, name: str, kind: type, most: int = files.TABLE) -> Any:
        try:
            value = files.read_json(self.path / name, most)
        except DamagedError as error:
            self.damaged.append(str(error))
            value = None
        if value is not None and not isinstance(value, kind):
            self.damaged.append(f"{name}: not {'a list' if kind is list else 'a table'}")
        return value if isinstance(value, kind) else kind()


def _flat(table: dict[str, Any], inside: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = f"{inside}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat
