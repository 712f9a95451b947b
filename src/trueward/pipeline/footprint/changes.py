"""What to change in a recipe so that it fits: settings tried one after the other by the same arithmetic."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from trueward.config import Recipe
from trueward.models import nf4
from trueward.pipeline.footprint.stage_memory import Plan

SMALLEST = 256  # tokens at once: fewer make small matrix products
RANK = 16


class Change(NamedTuple):
    """Settings, and the peak with them in bytes."""

    settings: str
    peak: float


def peak_of(plan: Plan) -> float:
    """The most that any stage holds."""
    return max(stage.peak for stage in plan.stages())


def fitting_changes(plan: Plan, memory: float) -> list[Change]:
    """The mildest changes with which all stages fit, at most two; empty if none of those known here is enough."""
    found: list[Change] = []
    for settings, changed in _ladder(plan):
        if (peak := peak_of(changed)) <= memory:
            found.append(Change(settings, peak))
        if len(found) == 2:
            break
    return found


def _ladder(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Changed plans, those that cost least first: fewer tokens at once, then time, then another way to learn."""
    recipe = plan.recipe
    fewer = [n for n in (plan.tokens >> i for i in range(1, 12)) if n >= SMALLEST]
    checkpointed = replace(plan, recipe=_with(recipe, "runtime", checkpointing=True))
    adapters = replace(plan, recipe=_with(recipe, "lora", rank=recipe.lora.rank or RANK))
    both = replace(adapters, recipe=_with(adapters.recipe, "runtime", checkpointing=True))
    kinds = [("", plan)]
    if not recipe.runtime.checkpointing:
        kinds.append(("runtime.checkpointing=true", checkpointed))
    if not recipe.lora.rank:
        kinds.append((f"lora.rank={RANK}", adapters))
        if not recipe.runtime.checkpointing:
            kinds.append((f"lora.rank={RANK} runtime.checkpointing=true", both))
    quantised = replace(both, recipe=_with(both.recipe, "lora", base=nf4.KIND))
    if recipe.lora.base != nf4.KIND:
        kinds.append((" ".join(words for words in _needed(recipe)), quantised))
    for settings, kind in kinds:
        if settings:
            yield settings, kind
        for tokens in fewer:
            small = f"{settings} runtime.micro_batch_tokens={tokens}".strip()
            if peak_of(replace(kind, tokens=tokens)) < 0.98 * peak_of(replace(kind, tokens=2 * tokens)):
                yield small, replace(kind, tokens=tokens)
    rows = recipe.sampler.engine.max_num_seqs
    if rows > 8:
        engine = recipe.sampler.engine.model_copy(update={"max_num_seqs": 8})
        yield "sampler.engine.max_num_seqs=8", replace(plan, recipe=_with(recipe, "sampler", engine=engine))


def _needed(recipe: Recipe) -> Iterator[str]:
    """The settings of adapters on four bits, with checkpointing, that the recipe doesn't have."""
    if not recipe.lora.rank:
        yield f"lora.rank={RANK}"
    if not recipe.runtime.checkpointing:
        yield "runtime.checkpointing=true"
    yield f"lora.base={nf4.KIND}"


def _with(recipe: Recipe, section: str, **settings: object) -> Recipe:
    changed = getattr(recipe, section).model_copy(update=settings)
    return recipe.model_copy(update={section: changed})
