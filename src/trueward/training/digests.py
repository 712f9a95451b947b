"""Whether what a checkpoint speaks of is still what was written: its own files, the logs up to it, the networks kept beside.

A checkpoint's `digests.json` lists its files; `state.json` holds the digests of the logs and of the kept networks.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trueward.artifacts import CHECKPOINTS, read_json, sha256, write_json
from trueward.progress import note

DIGESTS = "digests.json"
CHUNK = 1 << 20
Files = dict[str, str]


def of(directory: Path) -> Files:
    """The SHA-256 of every file under a directory, by its path there."""
    files = (path for path in sorted(directory.rglob("*")) if path.is_file() and path.name != DIGESTS)
    return {path.relative_to(directory).as_posix(): sha256(path) for path in files}


def write(directory: Path) -> None:
    """List the files of a checkpoint beside them."""
    write_json(directory / DIGESTS, of(directory))


def damage(directory: Path, files: Mapping[str, Any]) -> str:
    """The first file that isn't as it is listed, and how; "" if all are."""
    for name, digest in files.items():
        path = directory / name
        if not path.is_file():
            return f"{path}: missing"
        if sha256(path) != digest:
            return f"{path}: damaged, it has changed since it was written"
    return ""


def last_whole(directory: Path, stage: Path) -> Path | None:
    """The last checkpoint of a journal's directory that is whole; None if there's none at all.

    Damaged ones after it are named in a line each and taken away. `ValueError` if none is whole.
    """
    damaged: list[tuple[Path, str]] = []
    for checkpoint in sorted((directory / CHECKPOINTS).glob("step-*"), reverse=True):
        if not (what := damage_of_checkpoint(checkpoint, directory)):
            for other, line in damaged:
                note(f"{line}; {directory.name} goes on from the checkpoint before, {checkpoint.name}")
                shutil.rmtree(other)
            return checkpoint
        damaged.append((checkpoint, what))
    if damaged:
        raise ValueError(f"{damaged[0][1]}; no other checkpoint is whole, so remove {stage} to make this stage again")
    return None


def damage_of_checkpoint(checkpoint: Path, directory: Path) -> str:
    """What keeps a loop from going on from there: a file of its own, a log, a kept network; "" if nothing does."""
    try:
        listed = read_json(checkpoint / DIGESTS)
    except ValueError as error:
        return str(error)
    if not isinstance(listed, dict) or "state.json" not in listed:
        return f"{checkpoint / DIGESTS}: damaged, not the list of a checkpoint's files"
    if what := damage(checkpoint, listed):
        return what
    more = read_json(checkpoint / "state.json")["more"]
    for log, size in more["sizes"].items():
        path = directory / log
        if not path.is_file():
            return f"{path}: missing"
        read = LogDigest.read(path, size)
        if read.size < size:
            return f"{path}: damaged, it is shorter than it was"
        if read.text != more["digests"][log]:
            return f"{path}: damaged, it has changed since it was written"
    for name, step in more["kept"].items():
        aside = checkpoint.parent / f"{name}-{step:07d}"
        if what := damage(aside if aside.is_dir() else directory / name, more["kept_files"][name]):
            return what
    return ""


class LogDigest:
    """The SHA-256 of a log, carried on as it grows."""

    def __init__(self) -> None:
        self.hash, self.size = hashlib.sha256(), 0

    def add(self, raw: bytes) -> None:
        """What is appended to the log."""
        self.hash.update(raw)
        self.size += len(raw)

    @classmethod
    def read(cls, path: Path, size: int) -> LogDigest:
        """That of a log's first `size` bytes; of fewer if it's shorter."""
        digest = cls()
        with path.open("rb") as file:
            while raw := file.read(min(CHUNK, size - digest.size)):
                digest.add(raw)
        return digest

    @property
    def text(self) -> str:
        """In hexadecimal digits, so far."""
        return self.hash.hexdigest()
