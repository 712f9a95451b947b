"""One stage's result in the caller's directory, with its inputs in memory: for functions that take `out=`."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from trueward import artifacts
from trueward.artifacts import Artifact
from trueward.pipeline.cache import make_in
from trueward.pipeline.stage import Made, Stage
from trueward.training.env import Env
from trueward.training.journal import Journal, MemoryJournal

R = TypeVar("R")


class OutputCache:
    """Makes stages in memory, and the one named `kept` in `directory`.

    A finished stage in the directory is read, an unfinished one resumes.
    """

    def __init__(self, env: Env, directory: Path | None = None, kept: str = "") -> None:
        self.env, self.directory, self.kept = env, directory, kept
        self.journals: dict[str, MemoryJournal] = {}
        """The journals of the stages in memory, by stage."""

    def make(self, stage: Stage[R], digest: str, parents: Sequence[str], run: Callable[[Journal], R]) -> Made[R]:
        """As `StageCache`. `ValueError` if the directory holds something else."""
        if self.directory is not None and stage.name == self.kept:
            return self._make_kept(stage, digest, parents, run, self.directory)
        journal = self.journals[stage.name] = MemoryJournal()
        value: Any = run(journal)
        return Made(Artifact(Path(), stage.name, digest, tuple(parents), value.summary, 0.0), lambda: value)

    def _make_kept(
        self, stage: Stage[R], digest: str, parents: Sequence[str], run: Callable[[Journal], R], directory: Path
    ) -> Made[R]:
        artifact = artifacts.load(directory)
        begun = artifact.digest if artifact else artifacts.begun(directory)
        if begun not in (None, digest):
            raise ValueError(
                f"{directory}: holds a {stage.name} that was made of something else (other settings, data or inputs); "
                "choose another out= or remove it"
            )
        if begun is None and directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
            raise ValueError(f"{directory}: exists and is not a {stage.name} of trueward; choose another out=")
        if artifact is None:
            with _locked(directory):
                if begun is None and directory.exists():
                    directory.rmdir()  # the caller's empty directory
                artifact = make_in(directory, stage, digest, parents, run, self.env)
        return Made(artifact, partial(stage.read, artifact, self.env))


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """`ValueError` if another process is at work there."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    path = directory.parent / f".{directory.name}.lock"
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(f"{directory}: another process is at work on it") from None
        yield
        path.unlink(missing_ok=True)
