"""The stages of a run in a process that isn't rank 0: it takes part in those with a loop, and reads all from the disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from trueward import artifacts
from trueward.pipeline.stage import Made, Stage
from trueward.training.env import Env
from trueward.training.following_journal import FollowingJournal
from trueward.training.journal import Journal

R = TypeVar("R")


class FollowingCache:
    """As `StageCache`, beside rank 0's `RunCache` of the same directory, which all processes see. Writes nothing."""

    def __init__(self, run: Path, env: Env) -> None:
        """run: the run's directory."""
        self.run, self.env = run, env

    def make(self, stage: Stage[R], digest: str, parents: Sequence[str], run: Callable[[Journal], R]) -> Made[R]:
        """As `StageCache`: rank 0 says whether the stage is there, else it is made together or by rank 0 alone."""
        fabric, directory = self.env.fabric, self.run / stage.name
        fabric.agree(f"what {stage.name} is made of", digest)
        if fabric.led(bool) and stage.together:
            run(FollowingJournal(directory))
        fabric.led(bool)
        artifact = artifacts.load(directory)
        if artifact is None:
            raise ValueError(f"{directory}: rank {fabric.rank} sees no {stage.name} there, which rank 0 has written")
        return Made(artifact, partial(stage.read, artifact, self.env))
