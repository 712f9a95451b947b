"""Ablations, each of which takes away one part of the pipeline: `trueward run RECIPE --without NAME`.

An ablation is a set of ordinary settings, so the run's name, its recipe.toml and its fingerprints record it.
"""

from __future__ import annotations

from collections.abc import Sequence

from trueward import config
from trueward.config import Recipe

ABLATIONS: dict[str, tuple[str, ...]] = {
    "sft": ("sft.model={base}",),
    "comparisons": ("comparisons.count=32", "reward.held_out=0.5"),
    "labels": ("comparisons.agreement=0.51",),
    "length": ("comparisons.length_bias=2.0",),
    "normalisation": ("reward.normalize=false",),
    "anchor": ("policy.kl_coef=0.0",),
    "slack": ("policy.kl_coef=20.0",),
    "eos-penalty": ("policy.missing_eos_penalty=0.0",),
    "value": ("policy.critic.start=zero", "policy.value_learning_rate=1e-6"),
}
OF_ANNOTATORS = ("comparisons", "labels", "length")


def read(recipe: str, changes: Sequence[str], without: Sequence[str]) -> Recipe:
    """A recipe with these ablations, named after them; `changes` of --set go on top.

    `ValueError` in one line for an ablation that does not exist, or that changes nothing in this recipe.
    """
    whole = config.read(recipe, changes)
    if not without:
        return whole
    names = list(dict.fromkeys(without))
    settings: list[str] = []
    for name in names:
        if name not in ABLATIONS:
            raise ValueError(f"--without {name}: there is no such ablation; there are {', '.join(ABLATIONS)}")
        refuse_idle(whole, name)
        own = [setting.format(base=whole.model.base) for setting in ABLATIONS[name]]
        before, settings = config.read(recipe, [*settings, *changes]), [*settings, *own]
        if config.read(recipe, [*settings, *changes]) == before:
            raise ValueError(f"--without {name}: changes nothing here, {', '.join(own)} already, or --set undoes it")
    title = config.variant(whole.name, [f"without={name}" for name in names])
    return config.read(recipe, [*settings, *changes, f"name={title}"])


def refuse_idle(recipe: Recipe, name: str) -> None:
    """`ValueError` where the ablated part plays no part in the run."""
    if name in OF_ANNOTATORS and (recipe.comparisons.source != "simulated" or recipe.reward.model):
        raise ValueError(f"--without {name}: it changes simulated annotators, and this recipe has none")
    if name == "value" and recipe.policy.kind != "ppo":
        raise ValueError(f"--without value: {recipe.policy.kind} has no value network")
