"""The runs under a directory, found by their files; requests name them by their path below it."""

from __future__ import annotations

import json
import os
import statistics
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

from trueward.artifacts import OLDER, PIPELINE
from trueward.studio.runs import files, log, pipeline, run_row, state
from trueward.studio.runs.contents import Contents
from trueward.studio.runs.files import Table

DEEPEST = 3  # runs/NAME, runs/SWEEP/NAME, and one more
KEPT = 48  # logs in memory
STAGES = ("sft", "reward_model", "policy", "control")
FRESH_SECONDS, IDLE_SECONDS = 1.0, 60.0


class Library:
    """The runs under `home`, listed again when the list is older than a second, or lacks a name. Unknown names are refused."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.lock = threading.Lock()
        self.logs: OrderedDict[Path, log.Columns] = OrderedDict()
        self.runs: dict[str, Path] = {}
        self.rows: dict[Path, tuple[run_row.Stamp, list[Table], dict[str, Any]]] = {}
        self.written: dict[Path, tuple[float, run_row.Stamp, float]] = {}
        self.at = 0.0

    def paths(self, anew: bool = False) -> dict[str, Path]:
        """Name and directory of every run; a name is its path below `home`. anew: listed again, however young the list is."""
        with self.lock:
            if anew or time.monotonic() - self.at > FRESH_SECONDS or not self.at:
                self.runs = {
                    files.text(path.relative_to(self.home).as_posix()): path for path in _runs(self.home, DEEPEST)
                }
                self.at = time.monotonic()
                there = set(self.runs.values())
                self.rows = {path: kept for path, kept in self.rows.items() if path in there}
                self.written = {path: kept for path, kept in self.written.items() if path in there}
            return self.runs

    def path(self, name: str) -> Path:
        """The run's directory. `LookupError` if there is no such run, in a list made after the question either."""
        found = self.paths().get(name) or self.paths(anew=True).get(name)
        if found is None:
            raise LookupError(f"there is no run {name!r}")
        return found

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
        stamp, stages, row = self.summary(path)
        touched = self._written(path, stamp, locks)
        now = state.state(path, stages, locks, touched=touched)
        return {"name": name, "state": now, "touched": touched, **row}

    def summary(self, path: Path) -> tuple[run_row.Stamp, list[Table], dict[str, Any]]:
        """A run's stamp, its stages and its row of the table, read again when one of its files has changed."""
        stamp = run_row.stamp(path)
        with self.lock:
            known = self.rows.get(path)
        if known is None or known[0] != stamp:
            run = Contents(path)
            stages = run.stages()
            known = (stamp, stages, run_row.row(run, stages))
            with self.lock:
                self.rows[path] = known
        return known

    def _written(self, path: Path, stamp: run_row.Stamp, locks: set[int] | None) -> float:
        """When the run was last written; of one that nobody works on, looked at again after a minute."""
        now = time.monotonic()
        known = self.written.get(path)
        idle = locks is not None and state.lock(path) not in locks
        if known is None or not idle or known[1] != stamp or now - known[2] > IDLE_SECONDS:
            known = self.written[path] = (state.written(path), stamp, now)
        return known[0]

    def usual(self, path: Path) -> dict[str, float]:
        """Seconds that each stage took in other finished runs of the recipe, their median: what one may expect of this run."""
        recipe = self.summary(path)[2]["recipe"]
        spent: dict[str, list[float]] = {}
        for other in self.paths().values():
            _, stages, row = self.summary(other)
            if other != path and row["recipe"] == recipe:
                for stage in stages:
                    if stage.get("state") == "done" and "seconds" in stage:
                        spent.setdefault(stage["name"], []).append(stage["seconds"])
        return {name: statistics.median(seconds) for name, seconds in spent.items()}

    def run(self, name: str) -> dict[str, Any]:
        """All of a run but its metrics: stages, evaluations, verdict, early warnings, the recipe as written."""
        path = self.path(name)
        run = Contents(path)
        stages, report, recipe = run.stages(), run.report(), run.recipe()
        evaluations = run.rows("policy/evaluations.jsonl")
        touched, now = state.written(path), state.state(path, stages, state.held())
        done = run_row.trained(path)
        usual = self.usual(path) if now in ("live", "stale") else {}
        nothing: list[dict[str, Any]] = []
        ahead = run.guarded(lambda: pipeline.whole(recipe, stages, path, usual, evaluations, done), nothing)
        return {
            "name": name,
            "recipe": recipe,
            "state": now,
            "touched": touched,
            "stages": [{key: row.get(key) for key in ("name", "state", "seconds")} for row in stages],
            "pipeline": ahead,
            "left": pipeline.left(ahead) if now in ("live", "stale") else None,
            "step": done,
            "evaluations": evaluations,
            "verdict": files.table(report, "verdict") or None,
            "policies": files.table(report, "policies") or None,
            "reward_model": report.get("reward_model"),
            "early_warnings": report.get("early_warnings"),
            "evaluated_on": report.get("evaluated_on"),
            "best_step": files.number(report, "best_step"),
            "truth": run_row.truth_name(recipe),
            "has_report": os.path.isfile(path / "report.html"),
            "logs": [stage for stage in STAGES if os.path.isfile(path / stage / "metrics.jsonl")],
            "damage": run.damage(),
        }

    def series(self, name: str, stage: str, most: int) -> dict[str, Any]:
        """A stage's metrics in buckets, and the offset in the log up to which they were read. most: points a column."""
        columns = self.columns(name, stage)
        with columns.lock:
            buckets = log.buckets(columns.steps, columns.columns, most)
            return {**files.clean(buckets), "offset": columns.offset}

    def columns(self, name: str, stage: str) -> log.Columns:
        """A stage's metrics as far as they are. `LookupError`."""
        path = self.path(name) / _known(stage) / "metrics.jsonl"
        with self.lock:
            columns = self.logs.pop(path, None) or log.Columns(path)
            self.logs[path] = columns
            while len(self.logs) > KEPT:
                self.logs.popitem(last=False)
        columns.update()
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
    told = [key for key in keys if not key.startswith("runtime.")]
    varying = [key for key in told if len({each.get(key, "null") for each in settings}) > 1]
    for row, each in zip(rows, settings, strict=True):
        row["differs"] = {key: json.loads(each[key]) for key in varying if key in each}


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
        if any(os.path.lexists(path / file) for file in (PIPELINE, "recipe.toml", "report.json")):
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
