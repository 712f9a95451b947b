"""Runs each stage once and identifies it by its inputs: on disk, in memory, or only to plan.

A stage's digest is that of its name and version, its settings, the digests of its inputs and its files. A finished stage isn't
run again, in this run or in another one under the same home; an unfinished one resumes from its last checkpoint.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from trueward import artifacts, config
from trueward.artifacts import UNFINISHED, Artifact
from trueward.config import Recipe
from trueward.pipeline.recipe_difference import as_plain, differing
from trueward.pipeline.stage import Made, Stage
from trueward.progress import note
from trueward.tracking import catch_up
from trueward.training.env import Env
from trueward.training.journal import DirectoryJournal, Journal, MemoryJournal

R = TypeVar("R")
Inputs = Mapping[str, Made[Any] | None]
Settings = Mapping[str, Any]


class StageCache(Protocol):
    """Where the results of stages are stored."""

    env: Env

    def make(self, stage: Stage[R], digest: str, parents: Sequence[str], run: Callable[[Journal], R]) -> Made[R]:
        """The result with that digest: a stored one, or made by `run`. parents: digests of the inputs."""


def cached(
    cache: StageCache,
    stage: Stage[R],
    inputs: Inputs,
    settings: Settings,
    files: Sequence[Path] = (),
    aside: Mapping[str, Any] | None = None,
    contents: Sequence[str] = (),
) -> Made[R]:
    """A stage's result. Everything that it depends on makes up its digest: inputs, settings, files and contents.

    contents: digests of data given in memory in place of files. aside: further arguments that follow from the others
    (the text that was read from the files, the command line), and are no part of the digest.
    """
    given = {name: made for name, made in inputs.items() if made is not None}

    def run(journal: Journal) -> R:
        values = {name: made if made is None or stage.takes_made else made.value for name, made in inputs.items()}
        env = cache.env if stage.together else cache.env.alone
        result = stage.call(**values, **settings, **(aside or {}), env=env, journal=journal)
        for line in told(stage.name, getattr(result, "summary", {})):
            cache.env.progress.tell(line)
        return result

    digest = fingerprint(stage, {name: made.digest for name, made in given.items()}, settings, files, contents)
    return cache.make(stage, digest, [made.digest for made in given.values()], run)


def told(stage: str, summary: Mapping[str, Any]) -> list[str]:
    """The lengths that a stage took from the data, what it left out or cut and why, a line each."""
    kinds = (("left_out", "left out"), ("cut", "cut"))
    note = summary.get("lengths", {}).get("note")
    return [f"{stage}: {note}"] * bool(note) + [
        f"{stage}: {row['rows']:,} {row['what']} {done}: {row['reason']}"
        for key, done in kinds
        for row in summary.get(key, ())
    ]


def fingerprint(
    stage: Stage[Any],
    inputs: Mapping[str, str],
    settings: Settings,
    files: Sequence[Path],
    contents: Sequence[str] = (),
) -> str:
    """The digest of a stage: SHA-256 of its name, version, settings, input digests, and the hashes of its files."""
    text = config.canonical(
        {
            "format": artifacts.FORMAT,
            "stage": [stage.name, stage.version],
            "settings": {name: as_plain(value) for name, value in settings.items()},
            "inputs": dict(inputs),
            "files": [artifacts.sha256(f) for f in files],
            **({"contents": list(contents)} if contents else {}),
        }
    )
    return hashlib.sha256(text.encode()).hexdigest()


class PlanCache:
    """Runs nothing; collects the digests that stages would have."""

    def __init__(self) -> None:
        self.env = Env()
        self.digests: dict[str, str] = {}

    def make(self, stage: Stage[R], digest: str, parents: Sequence[str], run: Callable[[Journal], R]) -> Made[R]:
        """As `StageCache`, without a value."""
        self.digests[stage.name] = digest

        def nothing() -> R:
            raise AssertionError(f"{stage.name} was planned, not run")

        return Made(Artifact(Path(), stage.name, digest, tuple(parents), {}, 0.0), nothing)


class MemoryCache:
    """Results in memory: what several recipes have in common is made once. Nothing is written."""

    def __init__(self, env: Env | None = None) -> None:
        """env: for all recipes; without it, each recipe's [runtime] sets its own."""
        self.follows_recipe = env is None
        self.env = env or Env()
        self.made: dict[str, Made[Any]] = {}

    def make(self, stage: Stage[R], digest: str, parents: Sequence[str], run: Callable[[Journal], R]) -> Made[R]:
        """As `StageCache`."""
        if digest not in self.made:
            started = time.monotonic()
            value: Any = run(MemoryJournal())
            seconds = time.monotonic() - started
            artifact = Artifact(Path(), stage.name, digest, tuple(parents), value.summary, seconds)
            self.made[digest] = Made(artifact, lambda: value)
        return self.made[digest]


class RunCache:
    """One run's directory, with a directory for each stage and a list of its stages."""

    def __init__(self, home: Path, name: str, recipe: Recipe, env: Env) -> None:
        self.home, self.run, self.recipe, self.env = home, home / name, recipe, env
        self.rows: list[dict[str, Any]] = []

    @contextmanager
    def open(self) -> Iterator[RunCache]:
        """Lock the run's directory, and create it if it isn't there.

        `ValueError` if it holds another recipe's run or something else, or if another process is working in it.
        """
        self._refuse_others()
        self.run.mkdir(parents=True, exist_ok=True)
        with self._lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{self.run}: another process is at work on this run") from None
            self._refuse_others()  # one that began and ended since
            artifacts.remove_leftovers(self.run)
            artifacts.write_text(self.run / "recipe.toml", self.recipe.toml())
            try:
                yield self
            except BaseException:  # between a stage's first row and its work, too
                if self.rows and (last := self.rows[-1])["state"] == "running":
                    self._row(last["name"], last["digest"], last["parents"], "stopped", last["seconds"])
                raise

    def _lock(self) -> Any:
        """The run's lock file, opened. `ValueError` for a link, through which another file would be written to."""
        place = self.run / ".lock"
        try:
            return os.fdopen(os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644), "r+")
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ValueError(f"{place}: expected the run's lock, this is a link") from None
            raise

    def _refuse_others(self) -> None:
        """`ValueError` if the directory holds another recipe's run, or something else."""
        saved = self.run / "recipe.toml"
        artifacts.is_run(self.run)  # raises for a run of 0.1
        if saved.is_file():
            other = config.read(str(saved))
            begun = any(self.run.glob(f"*/{artifacts.MANIFEST}"))
            if begun and (difference := differing(other, self.recipe)):
                raise ValueError(
                    f"{self.run}: holds a run of another recipe ({difference}); choose another --out or remove it"
                )
        elif self.run.exists() and (
            not self.run.is_dir() or any(p.name != ".lock" and p.suffix != ".tmp" for p in self.run.iterdir())
        ):
            raise ValueError(f"{self.run}: exists and is not a run of trueward; choose another --out")

    def make(self, stage: Stage[R], digest: str, parents: Sequence[str], run: Callable[[Journal], R]) -> Made[R]:
        """As `StageCache`: from this run, from another run under the same home, or made in the stage's directory."""
        directory, fabric = self.run / stage.name, self.env.fabric
        fabric.agree(f"what {stage.name} is made of", digest)
        self._row(stage.name, digest, parents, "running", 0.0)
        artifact = artifacts.load(directory)
        if artifact is None or artifact.digest != digest:
            artifact = self._elsewhere(stage.name, digest)
        if fabric.led(lambda: artifact is None, bool):
            artifact = self._make(stage, digest, parents, run, directory)
        assert artifact is not None
        self._row(stage.name, digest, parents, "done", artifact.seconds)
        catch_up(self.recipe.runtime.tracking, self.recipe.table(), directory, digest)
        fabric.led(lambda: None)  # the others may read it now
        return Made(artifact, partial(stage.read, artifact, self.env))

    def _make(
        self, stage: Stage[R], digest: str, parents: Sequence[str], run: Callable[[Journal], R], directory: Path
    ) -> Artifact:
        if artifacts.begun(directory) != digest:
            shutil.rmtree(directory, ignore_errors=True)  # what an older recipe or other input files had begun
        started = time.monotonic()
        try:
            return make_in(directory, stage, digest, parents, run, self.env)
        except BaseException:
            self._row(stage.name, digest, parents, "stopped", time.monotonic() - started)
            raise

    def _elsewhere(self, name: str, digest: str) -> Artifact | None:
        """The same stage in another run under the same home, linked into this one."""
        for manifest in sorted(self.home.glob(f"*/{name}/{artifacts.MANIFEST}")):
            if manifest.parent.parent == self.run:
                continue
            try:
                found = artifacts.load(manifest.parent)
                if found is not None and found.digest == digest:
                    return artifacts.adopt(manifest.parent, self.run / name)
            except (ValueError, OSError) as error:
                if manifest.is_file() and digest in manifest.read_text(encoding="utf-8", errors="replace"):
                    note(f"{error} (it is not taken over)".replace("\n", " "))
                continue  # another run's, damaged or being removed: the stage is made here
        return None

    def _row(self, name: str, digest: str, parents: Sequence[str], state: str, seconds: float) -> None:
        row = {
            "name": name,
            "digest": digest,
            "parents": list(parents),
            "state": state,
            "seconds": round(seconds, 3),
        }
        self.rows = [r for r in self.rows if r["name"] != name] + [row]
        try:
            artifacts.write_json(self.run / artifacts.PIPELINE, self.rows)
        except OSError:
            if state != "stopped":  # a full disk may be why it stopped: then that error is the one to report
                raise


def make_in(
    directory: Path, stage: Stage[R], digest: str, parents: Sequence[str], run: Callable[[Journal], R], env: Env
) -> Artifact:
    """Run a stage in its directory; one that was interrupted there resumes from its last checkpoint."""
    mark = directory / UNFINISHED
    if not mark.is_file():
        directory.mkdir(parents=True)
        artifacts.write_json(mark, {"digest": digest})
    started = time.monotonic()
    with artifacts.writing(directory):
        summary = stage.write(run(DirectoryJournal(directory, env.load)), directory)
    seconds = time.monotonic() - started
    return artifacts.finish(
        directory, stage=stage.name, digest=digest, parents=tuple(parents), summary=summary, seconds=seconds
    )
