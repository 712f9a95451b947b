"""A run's `Env`, from its recipe."""

from __future__ import annotations

import torch

from trueward.config import Recipe
from trueward.config.runtime import RuntimeConfig
from trueward.models import loading
from trueward.progress import Progress
from trueward.token_budget import Budget, TokenBudget
from trueward.tracking import Tracker, follow
from trueward.training.env import Env, untracked
from trueward.training.journal import DirectoryJournal, Journal

BEGIN = {"cpu": 4096, "mps": 4096, "cuda": 16384}
"""Tokens at once that "auto" begins with: on a CPU more are no faster; a GPU is filled by some thousands."""


def token_budget(runtime: RuntimeConfig, device: torch.device) -> Budget:
    """The tokens that go through a model at once: a number, or what fits (`runtime.micro_batch_tokens = "auto"`)."""
    tokens = runtime.micro_batch_tokens
    return TokenBudget(BEGIN.get(device.type, 4096)) if tokens == "auto" else tokens


def run_env(recipe: Recipe, progress: Progress, tracked: bool = True) -> Env:
    """The device, progress and trackers of a recipe's run. `ValueError` if there is no such device."""

    def track(journal: Journal, member: int = 0) -> Tracker:
        assert isinstance(journal, DirectoryJournal)
        return follow(recipe.runtime.tracking, recipe.table(), journal.stage, member=member)

    device = loading.pick_device(recipe.runtime.device)
    return Env(
        device=device,
        progress=progress,
        micro_batch_tokens=token_budget(recipe.runtime, device),
        checkpoint_seconds=recipe.runtime.checkpoint_seconds,
        shares=recipe.lora.rank > 0,
        calls=recipe.runtime.judge,
        track=track if tracked else untracked,
    )
