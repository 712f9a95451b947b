"""The journal of a process that isn't rank 0: it writes nothing, and takes over the checkpoints that rank 0 wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trueward.artifacts import CHECKPOINTS
from trueward.models.network import Network
from trueward.training.journal import Journal, Row
from trueward.training.state import State


class FollowingJournal:
    """As `Journal`, beside rank 0's `DirectoryJournal` of the same directory, which all processes see."""

    def __init__(self, place: Path) -> None:
        """place: the directory of rank 0's journal. Nothing is written there."""
        self.place = place

    @property
    def directory(self) -> Path | None:
        """As `Journal`: where rank 0 writes."""
        return self.place

    def append(self, log: str, rows: Sequence[Row]) -> None:
        """Nothing: rank 0 does."""

    def rows(self, log: str) -> list[Row]:
        """None: what follows from them is decided by rank 0."""
        return []

    def save(self, state: State, more: Row) -> None:
        """Nothing: rank 0 does. Where models are sharded this process sends its parts."""
        for _ in state.files(keeps=False):
            pass

    def is_saved(self, step: int) -> bool:
        """Always true: rank 0 looks."""
        return True

    def resume(self, state: State) -> Row | None:
        """None: rank 0 says which checkpoint it is (`take_over`)."""
        return None

    def take_over(self, state: State, step: int) -> None:
        """Load the checkpoint of this step, which rank 0 has found whole; at step 0 there is none."""
        if step:
            state.load(self.place / CHECKPOINTS / f"step-{step:07d}")

    def keep(self, name: str, network: Network, step: int) -> None:
        """Nothing: rank 0 does."""

    def kept(self, name: str) -> Network | None:
        """None: rank 0 has it."""
        return None

    def child(self, name: str) -> Journal:
        """As `Journal`."""
        return FollowingJournal(self.place / CHECKPOINTS / name)
