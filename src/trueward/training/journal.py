"""What a training loop writes: rows of logs, checkpoints, the best network. On disk, or in memory.

A run in memory, the same run on disk, and one that was killed and resumed are the same to the last digit.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import math
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from trueward.artifacts import CHECKPOINTS, read_json
from trueward.models import loading
from trueward.models.lora import clone_sharing_frozen
from trueward.models.network import Network
from trueward.training import digests
from trueward.training.digests import LogDigest
from trueward.training.state import State

Row = dict[str, Any]
METRICS, EVALUATIONS, SAMPLES, ROLLOUTS = "metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "rollouts.jsonl.gz"
LOGS = (METRICS, EVALUATIONS, SAMPLES, ROLLOUTS)
BEST = "best"


class Journal(Protocol):
    """Where one loop writes."""

    @property
    def directory(self) -> Path | None:
        """The files' directory; None in memory."""

    def append(self, log: str, rows: Sequence[Row]) -> None:
        """Whole rows at the end of a log."""

    def rows(self, log: str) -> list[Row]:
        """All rows of a log."""

    def save(self, state: State, more: Row) -> None:
        """A checkpoint that `resume` goes on from; `more`: the driver's own values. In memory: nothing."""

    def is_saved(self, step: int) -> bool:
        """Whether there is a checkpoint of this step."""

    def resume(self, state: State) -> Row | None:
        """Load the last checkpoint into the state, cut the logs back to it; the driver's values, or None at the beginning."""

    def keep(self, name: str, network: Network, step: int) -> None:
        """Keep a network as it is after `step` steps, in place of an earlier one of that name."""

    def kept(self, name: str) -> Network | None:
        """The network kept under this name; None if there is none."""

    def child(self, name: str) -> Journal:
        """The journal of a loop within this one: an ensemble's member, a new reward model."""


def finite(row: Row) -> Row:
    """The row with None in place of NaN and infinity, which JSON can't hold."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}


class MemoryJournal:
    """Rows in lists, networks as copies; nothing to resume from."""

    directory: Path | None = None

    def __init__(self) -> None:
        self.logs: dict[str, list[Row]] = {}
        self.networks: dict[str, Network] = {}
        self.children: dict[str, Journal] = {}

    def append(self, log: str, rows: Sequence[Row]) -> None:
        """As `Journal`."""
        self.logs.setdefault(log, []).extend(finite(row) for row in rows)

    def rows(self, log: str) -> list[Row]:
        """As `Journal`."""
        return list(self.logs.get(log, []))

    def save(self, state: State, more: Row) -> None:
        """Nothing: there is nothing to resume from."""
        pass

    def is_saved(self, step: int) -> bool:
        """Always true: there is nothing to be lost."""
        return True

    def resume(self, state: State) -> Row | None:
        """None: every loop starts at its beginning."""
        return None

    def keep(self, name: str, network: Network, step: int) -> None:
        """As `Journal`, as a frozen copy."""
        model = clone_sharing_frozen(network.model).requires_grad_(False)
        self.networks[name] = Network(model, network.tokenizer, network.base, network.form)

    def kept(self, name: str) -> Network | None:
        """As `Journal`."""
        return self.networks.get(name)

    def child(self, name: str) -> Journal:
        """As `Journal`."""
        return self.children.setdefault(name, MemoryJournal())


class DirectoryJournal:
    """A stage's directory: JSONL files, appended to a whole row at a time, and checkpoints that carry every log's length.

    A resumed run goes on where the checkpoint was made, and nothing is there twice.
    """

    def __init__(self, directory: Path, load: Callable[[Path], Network], stage: Path | None = None) -> None:
        """load: reads a network that was kept. stage: the stage's directory, if this one lies in it."""
        self.directory: Path = directory
        self.stage: Path = directory if stage is None else stage
        self.load = load
        self.held: dict[str, int] = {}  # the step of each network that is kept
        self.recorded: dict[str, int] = {}  # the same at the last checkpoint
        self.kept_files: dict[str, digests.Files] = {}  # the digests of each network that is kept
        self.log_digests: dict[str, LogDigest] = {}

    @property
    def checkpoints(self) -> Path:
        """The directory of the checkpoints, and of journals within this one."""
        return self.directory / CHECKPOINTS

    def append(self, log: str, rows: Sequence[Row]) -> None:
        """As `Journal`; a log that is called .gz is compressed."""
        if not rows:
            return
        text = "".join(json.dumps(finite(row), ensure_ascii=False) + "\n" for row in rows).encode()
        raw = gzip.compress(text, 6, mtime=0) if log.endswith(".gz") else text
        with (self.directory / log).open("ab") as file:
            file.write(raw)
        self.log_digests.setdefault(log, LogDigest()).add(raw)

    def rows(self, log: str) -> list[Row]:
        """As `Journal`."""
        return read_log(self.directory / log)

    def save(self, state: State, more: Row) -> None:
        """As `Journal`; the last two checkpoints stay."""
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        place = self.checkpoints / f"step-{state.step:07d}"
        logs = {"sizes": self._sizes(), "digests": {log: digest.text for log, digest in self.log_digests.items()}}
        state.save(place, {**logs, "kept": self.held, "kept_files": self.kept_files, **more})
        for old in sorted(self.checkpoints.glob("step-*"))[:-2]:
            shutil.rmtree(old)
        self.recorded = dict(self.held)
        forget_aside(self.checkpoints)

    def is_saved(self, step: int) -> bool:
        """As `Journal`."""
        return (self.checkpoints / f"step-{step:07d}").is_dir()

    def resume(self, state: State) -> Row | None:
        """As `Journal`; a damaged checkpoint is named and taken away, and the one before it taken.

        `ValueError` if there are checkpoints, and none is whole.
        """
        last = digests.last_whole(self.directory, self.stage)
        more = None if last is None else state.load(last)
        self.recorded = {} if more is None else dict(more["kept"])
        self.held = dict(self.recorded)
        self.kept_files = {} if more is None else dict(more["kept_files"])
        for name in {BEST, *self.recorded}:
            self._restore(name)
        forget_aside(self.checkpoints)
        sizes = {} if more is None else more["sizes"]
        self.log_digests = {}
        for log in LOGS:
            path, size = self.directory / log, sizes.get(log, 0)
            if size:
                os.truncate(path, size)
                self.log_digests[log] = LogDigest.read(path, size)
            else:
                path.unlink(missing_ok=True)
        return more

    def keep(self, name: str, network: Network, step: int) -> None:
        """As `Journal`: a model directory of that name. The one of the last checkpoint is set aside until the next."""
        path = self.directory / name
        if name in self.held and self.held[name] == self.recorded.get(name):
            path.replace(self._aside(name))  # until the next checkpoint: evaluations after a resume compare with it
        replace_directory(path, lambda fresh: loading.save(network, fresh))
        self.held[name] = step
        self.kept_files[name] = digests.of(path)

    def _aside(self, name: str) -> Path:
        place = self.checkpoints / f"{name}-{self.recorded[name]:07d}"
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def _restore(self, name: str) -> None:
        """A kept network as it was when the checkpoint was made that the loop goes on from."""
        path = self.directory / name
        if name not in self.recorded:
            shutil.rmtree(path, ignore_errors=True)
        elif (aside := self.checkpoints / f"{name}-{self.recorded[name]:07d}").is_dir():
            shutil.rmtree(path, ignore_errors=True)
            aside.replace(path)

    def kept(self, name: str) -> Network | None:
        """As `Journal`."""
        path = self.directory / name
        return self.load(path) if path.is_dir() else None

    def child(self, name: str) -> Journal:
        """As `Journal`: a directory among the checkpoints."""
        folder = self.checkpoints / name
        folder.mkdir(parents=True, exist_ok=True)
        for log in folder.glob("*.jsonl"):
            cut_half_row(log)
        return DirectoryJournal(folder, self.load, self.stage)

    def _sizes(self) -> dict[str, int]:
        """Bytes of each log, once they are safely on disk."""
        sizes = {}
        for log in LOGS:
            path = self.directory / log
            if path.exists():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                sizes[log] = size = path.stat().st_size
                if log not in self.log_digests or self.log_digests[log].size != size:  # somebody else wrote there
                    self.log_digests[log] = LogDigest.read(path, size)
        return sizes


def latest(checkpoints: Path) -> Path | None:
    """The last whole checkpoint."""
    whole = sorted(p for p in checkpoints.glob("step-*") if (p / "state.json").is_file())
    return whole[-1] if whole else None


def forget_aside(checkpoints: Path) -> None:
    """Take away what was set aside for checkpoints that are there no more."""
    needed = set()
    for state in checkpoints.glob("step-*/state.json"):
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):  # damaged: nothing is needed for it
            needed |= {f"{name}-{step:07d}" for name, step in read_json(state)["more"]["kept"].items()}
    for aside in checkpoints.glob(f"{BEST}-*"):
        if aside.name not in needed:
            shutil.rmtree(aside)


def replace_directory(path: Path, write: Callable[[Path], None]) -> None:
    """Replace a directory by one that `write` fills, written beside it and then renamed."""
    fresh = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    write(fresh)
    shutil.rmtree(path, ignore_errors=True)
    fresh.replace(path)


def cut_half_row(log: Path) -> None:
    """Take away what a power cut or a full disk left of a row."""
    raw = log.read_bytes()
    if raw and not raw.endswith(b"\n"):
        os.truncate(log, raw.rfind(b"\n") + 1)


def read_log(path: Path) -> list[Row]:
    """All rows of a JSONL log; none if it isn't there."""
    if not path.exists():
        return []
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return [json.loads(row) for row in raw.split(b"\n") if row]  # not splitlines: texts hold other line ends


def read_state(checkpoints: Path) -> Row:
    """The values in the last checkpoint, without its tensors."""
    last = latest(checkpoints)
    table: Row = read_json(last / "state.json") if last else {}
    return table
