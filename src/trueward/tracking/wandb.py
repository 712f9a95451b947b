"""Weights & Biases: one run of theirs for each stage, in a group named after ours. $WANDB_* work as usual."""

from __future__ import annotations

import os

import wandb

from trueward.tracking.rows import Row
from trueward.tracking.tracker import Loop

WITHOUT_KEY = ("offline", "disabled", "dryrun")


def check() -> None:
    """`ValueError` if wandb would ask for an API key during the run."""
    if os.environ.get("WANDB_MODE") in WITHOUT_KEY or os.environ.get("WANDB_API_KEY"):
        return
    if not wandb.login(prompt=False):
        raise ValueError("runtime.tracking: wandb has no API key: run `wandb login`, or set WANDB_MODE=offline")


class Wandb:
    """Steps at the service are the stage's. A resumed run has the same id, and goes on after the last step that it has."""

    rewinds = False

    def __init__(self, loop: Loop, project: str) -> None:
        self.run = wandb.init(
            project=project,
            id=loop.id,
            name=loop.title,
            group=loop.run.name,
            job_type=loop.stage,
            dir=str(loop.run),
            config=dict(loop.recipe),
            resume="allow",
            settings=wandb.Settings(console="off"),
        )
        self.last = self.run.step - 1 if self.run.resumed else None  # offline it doesn't know: then our mark counts

    def send(self, step: int, row: Row) -> None:
        """As `Service`."""
        self.run.log(dict(row), step=step)

    def flush(self) -> None:
        """A process of its own has the rows, and outlives this one."""

    def close(self) -> None:
        """As `Service`: waits until all is sent."""
        self.run.finish()
