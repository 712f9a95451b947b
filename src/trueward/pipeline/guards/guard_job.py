"""One run of a guard on one checkpoint: what it is asked, as a file, and the process that does it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from trueward.artifacts import read_json, write_json
from trueward.data import jsonl

PROMPTS = "prompts.jsonl"
LONGEST = 300  # characters of a reason
Scores = dict[str, float]
"""An item's score, by its id; higher is better."""


class GuardFailedError(Exception):
    """A guard that could not be run; the text says why, in one line."""


@dataclass(frozen=True)
class GuardJob:
    """All that a result depends on. weights, prompts: digests of the checkpoint's files and of the verifier's prompts."""

    name: str
    kind: str
    task: str
    options: dict[str, Any]
    limit: int
    seed: int
    sampler: dict[str, Any]
    prompts: str
    weights: str

    @classmethod
    def read(cls, path: Path) -> GuardJob:
        """The job in a file."""
        return cls(**read_json(path))

    def known(self, place: Path) -> Scores | None:
        """The scores of the same job, if they were written under `place` before; None otherwise."""
        record, rows = place.with_suffix(".json"), place.with_suffix(".jsonl")
        if not (record.is_file() and rows.is_file()):
            return None
        with contextlib.suppress(ValueError, TypeError):  # damaged: it is run again
            if read_json(record) == json.loads(json.dumps(asdict(self))):
                return read_scores(rows)
        return None

    def run(self, place: Path, checkpoint: Path, device: torch.device, minutes: float) -> Scores:
        """Its scores, from a process of its own; what the process says goes to a log beside them.

        place: the files' path without an ending. `GuardFailedError` if it takes more than so many minutes, ends with an error,
        or measures nothing.
        """
        place.parent.mkdir(parents=True, exist_ok=True)
        rows, log = place.with_suffix(".jsonl"), place.with_suffix(".log")
        rows.unlink(missing_ok=True)
        write_json(place.with_suffix(".json"), asdict(self))
        command = [sys.executable, "-m", "trueward.pipeline.guards.process", str(place), str(checkpoint), str(device)]
        threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
        with log.open("wb") as out:
            process = subprocess.Popen(  # noqa: S603 (our own module)
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **threads},
                start_new_session=True,
            )
            try:
                code = process.wait(timeout=60 * minutes)
            except subprocess.TimeoutExpired:
                _end(process)
                raise GuardFailedError(f"it took more than {minutes:g} minutes (evaluation.guard_minutes)") from None
            except BaseException:  # the run is stopped, and so is this
                _end(process)
                raise
        if code:
            raise GuardFailedError(_reason(log) or f"its process ended with exit code {code}")
        scores = read_scores(rows) if rows.is_file() else {}
        if not scores:
            raise GuardFailedError("it measured nothing: the suite gave no item a score")
        return scores


def read_scores(path: Path) -> Scores:
    """The scores of a file of rows with `item` and `score`; a score that is no number is left out."""
    rows = (row for _, row in jsonl.read(path))
    return {str(row["item"]): float(row["score"]) for row in rows if _is_number(row["score"])}


def digest(value: Any) -> str:
    """The first 16 digits of the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and what it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _reason(log: Path) -> str:
    """The last line that the process wrote."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "")[:LONGEST]
