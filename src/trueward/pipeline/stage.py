"""A stage of the pipeline: a function of values, and how its result is written to a directory and read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from trueward.artifacts import Artifact
from trueward.errors import named_out_of_memory
from trueward.token_budget import SMALLER
from trueward.training.env import Env

R = TypeVar("R")
Row = dict[str, Any]


def never() -> Any:
    """A value on another rank than 0 that nobody asks for: the stage's result is read from the disk."""
    raise AssertionError("rank 0 has it")


@dataclass(frozen=True)
class Stage(Generic[R]):
    """One stage. `run` takes the values of its inputs and its settings by name, with `env` and `journal`; nothing else.

    write: into a directory; returns the summary for the manifest. read: from there, as lazily as possible. version: raised
    when the same inputs give another result.
    """

    name: str
    run: Callable[..., R]
    write: Callable[[R, Path], Row]
    read: Callable[[Artifact, Env], R]
    version: int = 1
    takes_made: bool = False
    """Whether `run` takes its inputs as `Made`, for their summaries, without loading their values."""
    together: bool = False
    """Whether several processes run it together, since it has a training loop. Others are made by rank 0 alone."""

    def call(self, **given: Any) -> R:
        """What `run` gives; `OutOfMemory` in one line with the stage's name where nothing further inside has spoken."""
        with named_out_of_memory(f"the stage {self.name}", f"{SMALLER} (see trueward run --plan)"):
            return self.run(**given)


@dataclass(frozen=True)
class Made(Generic[R]):
    """A stage's result: its artifact (directory and summary), and its value, which is loaded on first use."""

    artifact: Artifact
    load: Callable[[], R] = field(repr=False)

    @cached_property
    def value(self) -> R:
        """The value, loaded on first use."""
        return self.load()

    @property
    def name(self) -> str:
        """The stage's name."""
        return self.artifact.stage

    @property
    def digest(self) -> str:
        """The stage's digest."""
        return self.artifact.digest

    @property
    def summary(self) -> Row:
        """The summary in the stage's manifest."""
        return self.artifact.summary
