"""A run's `Env`, from its recipe."""

from __future__ import annotations

from trueward.config import Recipe
from trueward.models import loading
from trueward.parallel.fabric import ALONE, Fabric
from trueward.progress import Progress
from trueward.tracking import Tracker, follow
from trueward.training.env import Env, untracked
from trueward.training.journal import DirectoryJournal, Journal


def run_env(recipe: Recipe, progress: Progress, tracked: bool = True, fabric: Fabric = ALONE) -> Env:
    """The device, progress and trackers of a recipe's run. `ValueError` if there is no such device."""

    def track(journal: Journal, member: int = 0) -> Tracker:
        assert isinstance(journal, DirectoryJournal)
        return follow(recipe.runtime.tracking, recipe.table(), journal.stage, member=member)

    return Env(
        device=loading.pick_device(recipe.runtime.device),
        progress=progress if fabric.leads else Progress(),
        micro_batch_tokens=recipe.runtime.micro_batch_tokens,
        checkpoint_seconds=recipe.runtime.checkpoint_seconds,
        shares=recipe.lora.rank > 0,
        calls=recipe.runtime.judge,
        fabric=fabric,
        track=track if tracked else untracked,
    )
