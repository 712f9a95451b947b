"""The mechanism of the ladder: a stage is climbed once, in its own directory, and known by what it was made from.

A stage's digest is that of its function's name, its sections of the recipe, its input files and its parents' digests.
A finished stage is not climbed again, in this run or in another one under the same home; an unfinished one goes on from
its last checkpoint.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trueward import artifacts, config
from trueward.artifacts import UNFINISHED, Artifact
from trueward.config import Recipe
from trueward.tracking import catch_up

Work = Callable[[Path], dict[str, Any]]


class StageCache:
    """One run's directory, its recipe, and the stages climbed so far."""

    def __init__(self, home: Path, name: str, recipe: Recipe) -> None:
        self.home, self.run, self.recipe = home, home / name, recipe
        self.rows: list[dict[str, Any]] = []

    @contextmanager
    def open(self) -> Iterator[StageCache]:
        """Take the run's directory, or refuse: another recipe's run, something else, or another process at work."""
        saved = self.run / "recipe.toml"
        artifacts.is_run(self.run)  # or it refuses one of 0.1
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
        self.run.mkdir(parents=True, exist_ok=True)
        with (self.run / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{self.run}: another process is at work on this run") from None
            artifacts.remove_leftovers(self.run)
            artifacts.write_text(saved, self.recipe.toml())
            yield self

    def stage(
        self,
        name: str,
        function: str,
        work: Work,
        settings: Mapping[str, Any],
        parents: Sequence[Artifact] = (),
        files: Sequence[Path] = (),
    ) -> Artifact:
        """The stage's artifact: found here, taken over from another run, or made now by `work(directory)`."""
        digest = fingerprint(function, settings, parents, files)
        directory = self.run / name
        self._row(name, digest, parents, "running", 0.0)
        found = artifacts.load(directory)
        if found is None or found.digest != digest:
            found = self._elsewhere(name, digest) or self._make(name, digest, work, parents, directory)
        self._row(name, digest, parents, "done", found.seconds)
        catch_up(self.recipe.runtime.tracking, self.recipe.table(), directory, digest)
        return found

    def _make(self, name: str, digest: str, work: Work, parents: Sequence[Artifact], directory: Path) -> Artifact:
        mark = directory / UNFINISHED
        if not mark.is_file() or artifacts.read_json(mark).get("digest") != digest:
            shutil.rmtree(directory, ignore_errors=True)  # what an older recipe or other input files had begun
            directory.mkdir(parents=True)
            artifacts.write_json(mark, {"digest": digest})
        started = time.monotonic()
        try:
            with artifacts.writing(directory):
                summary = work(directory)
        except BaseException:
            self._row(name, digest, parents, "stopped", time.monotonic() - started)
            raise
        return artifacts.finish(
            directory,
            stage=name,
            digest=digest,
            parents=tuple(p.digest for p in parents),
            summary=summary,
            seconds=time.monotonic() - started,
        )

    def _elsewhere(self, name: str, digest: str) -> Artifact | None:
        """The same stage in another run under the same home, linked into this one."""
        for manifest in sorted(self.home.glob(f"*/{name}/{artifacts.MANIFEST}")):
            if manifest.parent.parent == self.run:
                continue
            try:
                found = artifacts.load(manifest.parent)
            except (ValueError, OSError):
                continue  # damaged or being removed: not ours to complain about
            if found is not None and found.digest == digest:
                return artifacts.adopt(manifest.parent, self.run / name)
        return None

    def _row(self, name: str, digest: str, parents: Sequence[Artifact], state: str, seconds: float) -> None:
        row = {
            "name": name,
            "digest": digest,
            "parents": [p.digest for p in parents],
            "state": state,
            "seconds": round(seconds, 3),
        }
        self.rows = [r for r in self.rows if r["name"] != name] + [row]
        try:
            artifacts.write_json(self.run / artifacts.PIPELINE, self.rows)
        except OSError:
            if state != "stopped":  # a full disk is what stopped it: let that be the message
                raise


def fingerprint(function: str, settings: Mapping[str, Any], parents: Sequence[Artifact], files: Sequence[Path]) -> str:
    text = config.canonical(
        {
            "format": artifacts.FORMAT,
            "function": function,
            "settings": dict(settings),
            "parents": [p.digest for p in parents],
            "files": [artifacts.sha256(f) for f in files],
        }
    )
    return hashlib.sha256(text.encode()).hexdigest()


def differing(one: Recipe, other: Recipe) -> str:
    """The first setting that is not the same in two recipes, [runtime], name and description aside; or nothing."""

    def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in table.items():
            if isinstance(value, dict):
                out |= flat(value, f"{prefix}{key}.")
            else:
                out[prefix + key] = value
        return out

    left, right = (
        flat({k: v for k, v in r.table().items() if k not in ("runtime", "name", "description")}) for r in (one, other)
    )
    for key in [*left, *right]:
        if left.get(key) != right.get(key):
            return f"{key} is {left.get(key, 'not set')} there, {right.get(key, 'not set')} here"
    return ""
