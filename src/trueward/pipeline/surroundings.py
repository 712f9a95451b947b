"""A run's `Env`, from its recipe."""

from __future__ import annotations

from pathlib import Path

import torch

from trueward.config import Recipe
from trueward.config.runtime import RuntimeConfig
from trueward.models import loading, precision, tabular
from trueward.parallel.fabric import ALONE, Fabric
from trueward.pipeline.shared_figures import SharedFigures
from trueward.progress import Progress, note
from trueward.sampling.rank_pool import RankPool
from trueward.token_budget import Budget, TokenBudget
from trueward.tracking import Tracker, follow
from trueward.training.env import NOWHERE, Env, Remote, untracked
from trueward.training.journal import DirectoryJournal, Journal

BEGIN = {"cpu": 4096, "mps": 4096, "cuda": 16384}
"""Tokens at once that "auto" begins with: on a CPU more are no faster; a GPU is filled by some thousands."""


def token_budget(runtime: RuntimeConfig, device: torch.device) -> Budget:
    """The tokens that go through a model at once: a number, or what fits (`runtime.micro_batch_tokens = "auto"`)."""
    tokens = runtime.micro_batch_tokens
    return TokenBudget(BEGIN.get(device.type, 4096)) if tokens == "auto" else tokens


def shards(recipe: Recipe, fabric: Fabric) -> bool:
    """Whether networks that learn lie in parts (`runtime.shard = "full"`). One process has no parts, which is said in a line.

    `ValueError` for a table, which has no layers to be shared out, and for a sampler that runs ahead.
    """
    if recipe.runtime.shard == "none":
        return False
    if fabric.is_alone:
        note(
            'runtime.shard = "full" has no effect in one process; several are started by --launch torchrun (docs/scaling.md)'
        )
        return False
    if _is_table(recipe) and fabric.leads:  # the others end with rank 0, which says it
        raise ValueError(
            f'runtime.shard = "full": {recipe.sft.model or recipe.model.base} is a table, which has no layers that could be '
            'shared out; it takes "none"'
        )
    if recipe.sampler.engine.max_staleness and fabric.leads:
        raise ValueError(
            'runtime.shard = "full": weights are gathered to be sampled from, and with sampler.engine.max_staleness they would '
            "have to be while they learn; set one of the two"
        )
    return True


def _is_table(recipe: Recipe) -> bool:
    start = recipe.sft.model or recipe.model.base
    return start == "trueward:nano" or tabular.is_tabular(Path(start))


def with_precision(recipe: Recipe) -> Recipe:
    """The recipe with bfloat16 in place of `model.dtype = "auto"` where that is what it means: it is part of fingerprints.

    `ValueError` where bfloat16 has no meaning: with a table, or for a sampler that is coarser on its own already.
    """
    asked = recipe.model.dtype
    start = recipe.sft.model or recipe.model.base
    is_table = _is_table(recipe)
    if is_table and asked == "bfloat16":
        raise ValueError(f'model.dtype = "bfloat16": {start} is a table, which has no products')
    if is_table and recipe.sampler.engine.kind == "vllm":
        raise ValueError(f'sampler.engine.kind = "vllm": {start} is a table, which only the local engine reads')
    device = loading.pick_device(recipe.runtime.device)
    if is_table or precision.pick(asked, device) is not precision.LOW:
        return recipe
    if recipe.sampler.engine.quantize == "bfloat16":
        raise ValueError(
            f'sampler.engine.quantize = "bfloat16": with model.dtype = {asked!r} the sampler is in bfloat16 already, as all '
            "products are; leave it out"
        )
    return recipe.model_copy(update={"model": recipe.model.model_copy(update={"dtype": "bfloat16"})})


def run_env(
    recipe: Recipe, progress: Progress, tracked: bool = True, fabric: Fabric = ALONE, remote: Remote = NOWHERE
) -> Env:
    """The device, progress and trackers of a recipe's run, and what stands ready for it elsewhere.

    `ValueError` if there is no such device.
    """

    def track(journal: Journal, member: int = 0) -> Tracker:
        assert isinstance(journal, DirectoryJournal)
        return follow(recipe.runtime.tracking, recipe.table(), journal.stage, member=member)

    device = loading.pick_device(recipe.runtime.device)
    env = Env(
        device=device,
        dtype=precision.pick(recipe.model.dtype, device),
        progress=progress if fabric.leads else Progress(),
        micro_batch_tokens=token_budget(recipe.runtime, device),
        checkpoint_seconds=recipe.runtime.checkpoint_seconds,
        shares=recipe.lora.rank > 0,
        base_kept=recipe.lora.base,
        shards=shards(recipe, fabric),
        calls=recipe.runtime.judge,
        fabric=fabric,
        track=track if tracked else untracked,
        ranks=RankPool(fabric),
        remote=remote,
    )
    env.ranks.load, env.ranks.pool = env.load, env.pool
    env.ranks.acts["figures"] = SharedFigures(env.ranks).help
    return env
