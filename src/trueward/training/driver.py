"""Consumes a training loop: logs every step, looks at the policy now and then, keeps the best, saves, resumes, stops.

Everything that a loop leaves behind is in the stage's directory. A checkpoint carries the length of every log, so that a
resumed run goes on where the checkpoint was made and nothing is there twice.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward.artifacts import read_json
from trueward.batches import Step
from trueward.progress import Progress, WaitingError
from trueward.records import line
from trueward.tracking import Tracker
from trueward.training.state import State

LOGS = ("metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "rollouts.jsonl.gz")
FATAL = ("nll", "loss", "loss/policy_avg", "loss/value_avg", "grad_norm", "policy/grad_norm")


@dataclass(frozen=True)
class Evaluation:
    """What one look at the policy found: a row for evaluations.jsonl, rows for samples.jsonl, and the truth."""

    row: dict[str, Any]
    samples: list[dict[str, Any]]
    truth: float | None


@dataclass(frozen=True)
class EvalVerdict:
    """What the looks so far say together: more for the row, a word for the terminal, and why to stop, if so."""

    row: dict[str, Any]
    word: str
    stop: str = ""


@dataclass(frozen=True)
class EvalSchedule:
    """When to look, how, what to do when the truth has never been higher, and how to judge all looks so far.

    `judge` is given the rows of all looks, the present one last, before that one may become the best.
    """

    every: int
    evaluate: Callable[[int], Evaluation]
    keep_best: Callable[[Path], None]
    judge: Callable[[list[dict[str, Any]]], EvalVerdict] | None = None


class Logs:
    """The stage's JSONL files, appended to a whole row at a time."""

    def __init__(self, directory: Path, sizes: dict[str, int]) -> None:
        self.directory = directory
        for name in LOGS:
            path, size = directory / name, sizes.get(name, 0)
            if size:
                os.truncate(path, size)
            else:
                path.unlink(missing_ok=True)

    def add(self, name: str, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        text = "".join(json.dumps(finite(row), ensure_ascii=False) + "\n" for row in rows).encode()
        with (self.directory / name).open("ab") as file:
            file.write(gzip.compress(text, 6, mtime=0) if name.endswith(".gz") else text)

    def sizes(self) -> dict[str, int]:
        """Bytes of each log, once they are safely on disk."""
        sizes = {}
        for name in LOGS:
            path = self.directory / name
            if path.exists():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                sizes[name] = path.stat().st_size
        return sizes


def finite(row: dict[str, Any]) -> dict[str, Any]:
    """null for what is not a number, which JSON can't hold."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


@dataclass
class Outcome:
    """What the driver has to remember through a resume."""

    best_step: int | None = None
    best_truth: float = -math.inf
    seconds: float = 0.0
    stopped: str = ""  # why it ended before its last step

    def table(self) -> dict[str, Any]:
        return {
            "best_step": self.best_step,
            "best_truth": self.best_truth if self.best_step is not None else None,
            "seconds": self.seconds,
            "stopped": self.stopped,
        }


def drive(
    make_loop: Callable[[], Iterator[Step]],
    *,
    state: State,
    directory: Path,
    total: int,
    what: str,
    progress: Progress,
    checkpoint_seconds: float,
    schedule: EvalSchedule | None = None,
    tracker: Tracker | None = None,
) -> Outcome:
    """Run a loop to its end, from its last checkpoint if there is one. `make_loop` is called when the state is ready.

    `tracker` is sent every row that the logs get.

    `ValueError` if a loss or a gradient is no longer a number.
    """
    outcome = Outcome()
    checkpoints = directory / "checkpoints"
    sizes: dict[str, int] = {}
    if (last := latest(checkpoints)) is not None:
        more = state.load(last)
        sizes = more["sizes"]
        outcome.best_step, outcome.seconds = more["best_step"], more["seconds"]
        if outcome.best_step is not None:
            outcome.best_truth = more["best_truth"]
        outcome.stopped = more.get("stopped", "")
    restore_best(directory, outcome.best_step)
    logs = Logs(directory, sizes)
    evaluations = read_log(directory / "evaluations.jsonl")
    tracker = tracker or Tracker()
    tracker.begin(directory, state.step if last is not None else None)
    on_record = outcome.best_step  # the best that the last checkpoint speaks of
    started = time.monotonic() - outcome.seconds
    saved = time.monotonic()
    progress.start(what, total)
    if state.step:
        progress.at(state.step, "resumed")

    def evaluate(step: int) -> str:
        assert schedule is not None
        evaluation = schedule.evaluate(step)
        row = finite({"step": step, **evaluation.row})
        verdict = schedule.judge([*evaluations, row]) if schedule.judge else EvalVerdict({}, "")
        row |= verdict.row
        evaluations.append(row)
        logs.add("evaluations.jsonl", [{**row, "seconds": round(time.monotonic() - started, 3)}])
        logs.add("samples.jsonl", [{"step": step, **sample} for sample in evaluation.samples])
        if step and evaluation.truth is not None and evaluation.truth > outcome.best_truth:
            if outcome.best_step is not None and outcome.best_step == on_record:
                set_best_aside(directory, outcome.best_step)
            outcome.best_step, outcome.best_truth = step, evaluation.truth
            replace_directory(directory / "best", schedule.keep_best)
        if step < total:
            outcome.stopped = verdict.stop
        notes = [f"{key} {row[key]:.2f}" for key in ("proxy", "truth", "kl") if row.get(key) is not None]
        return "  ".join([*notes, *([verdict.word] if verdict.word else [])])

    def save() -> None:
        nonlocal on_record, saved
        outcome.seconds = time.monotonic() - started
        checkpoint(state, checkpoints, {"sizes": logs.sizes(), **outcome.table()})
        tracker.settle()
        on_record = outcome.best_step
        forget_best(directory)
        saved = time.monotonic()

    def steps() -> Iterator[Step]:
        try:
            yield from make_loop()
        except WaitingError:  # nothing is lost however long it takes
            if not (checkpoints / f"step-{state.step:07d}").is_dir():
                save()
            progress.end(f"waits at step {state.step}")
            raise

    note = evaluate(0) if schedule and not state.step else ""
    if note:
        tracker.send(0, {}, evaluations[-1])
    for step in steps() if not outcome.stopped else ():
        if wrong := [k for k in FATAL if not math.isfinite(step.metrics.get(k, 0.0))]:
            raise ValueError(
                f"{what}, step {step.number}: {wrong[0]} is not a number any more; a lower learning rate may help"
            )
        figures = {k: v if math.isfinite(v) else None for k, v in step.metrics.items()}
        logs.add("metrics.jsonl", [{"step": step.number, **figures}])
        rows = zip(step.completions, step.details, strict=True)
        logs.add("rollouts.jsonl.gz", [{"step": step.number, **line(c), **d} for c, d in rows])
        if schedule and (step.number % schedule.every == 0 or step.number == total):
            note = evaluate(step.number)
        elif not schedule:
            note = "  ".join(f"{k} {step.metrics[k]:.3f}" for k in ("nll", "loss", "accuracy") if k in step.metrics)
        tracker.send(
            step.number, figures, evaluations[-1] if evaluations and evaluations[-1]["step"] == step.number else {}
        )
        progress.at(step.number, note)
        if step.number == total or outcome.stopped or time.monotonic() - saved >= checkpoint_seconds:
            save()
        if outcome.stopped:
            break
    outcome.seconds = time.monotonic() - started
    progress.end(f"stopped at step {state.step}: {outcome.stopped}" if outcome.stopped else note)
    return outcome


def checkpoint(state: State, folder: Path, more: dict[str, Any]) -> None:
    """Save the state; keep the last two."""
    folder.mkdir(parents=True, exist_ok=True)
    state.save(folder / f"step-{state.step:07d}", more)
    for old in sorted(folder.glob("step-*"))[:-2]:
        shutil.rmtree(old)


def latest(folder: Path) -> Path | None:
    """The last whole checkpoint."""
    evaluation = sorted(p for p in folder.glob("step-*") if (p / "state.json").is_file())
    return evaluation[-1] if evaluation else None


def replace_directory(path: Path, write: Callable[[Path], None]) -> None:
    """A directory written beside its old self and then put in its place."""
    fresh = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    write(fresh)
    shutil.rmtree(path, ignore_errors=True)
    fresh.replace(path)


def set_best_aside(directory: Path, step: int) -> None:
    """Keep the best that the last checkpoint speaks of, since looks after a resume compare with it."""
    aside = directory / "checkpoints" / f"best-{step:07d}"
    shutil.rmtree(aside, ignore_errors=True)
    (directory / "best").replace(aside)


def restore_best(directory: Path, step: int | None) -> None:
    """The best directory as it was when the checkpoint was made that the loop goes on from."""
    if step is None:
        shutil.rmtree(directory / "best", ignore_errors=True)
    elif (aside := directory / "checkpoints" / f"best-{step:07d}").is_dir():
        shutil.rmtree(directory / "best", ignore_errors=True)
        aside.replace(directory / "best")
    forget_best(directory)


def forget_best(directory: Path) -> None:
    for aside in (directory / "checkpoints").glob("best-*"):
        shutil.rmtree(aside)


def read_log(path: Path) -> list[dict[str, Any]]:
    """All rows of a JSONL log; none if it isn't there."""
    if not path.exists():
        return []
    return [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines() if row]


def read_state(folder: Path) -> dict[str, Any]:
    """What the last checkpoint says, for those who only want to look."""
    last = latest(folder)
    table: dict[str, Any] = read_json(last / "state.json") if last else {}
    return table
