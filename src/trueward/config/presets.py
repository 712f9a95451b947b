"""policy.group.preset: the published algorithms of the GRPO family, as settings.

A preset sets the loss: advantages, ratio and its clip, how the loss is averaged, the anchor, which groups are left out. Sizes
and rates (group.size, batch_size, learning_rate, epochs, minibatches) are the run's own. What a recipe sets itself counts more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

_LOSS = {
    "clip": 0.2,
    "dual_clip": None,
    "group.std": "population",
    "group.kl": "k3",  # where an anchor stands, if one is set
    "group.ratio": "token",
    "group.clip_high": None,
    "group.drop_equal_groups": False,
    "group.refill": 0,
    "group.overlong_tokens": 0,
}
_DYNAMIC = {
    "group.drop_equal_groups": True,
    "group.refill": 9,  # ten rounds of sampling in all, as in DAPO's own script; the paper has no bound
    "missing_eos_penalty": 0.0,  # the overlong penalty stands in its place
}
PRESETS: dict[str, dict[str, Any]] = {
    "grpo": {**_LOSS, "group.reducer": "sequence", "kl_coef": 0.04},
    "dr_grpo": {**_LOSS, "group.std": "none", "group.reducer": "constant", "kl_coef": 0.0},
    "dapo": {**_LOSS, **_DYNAMIC, "group.clip_high": 0.28, "group.reducer": "token", "kl_coef": 0.0},
    "gspo": {
        **_LOSS,
        "clip": 3e-4,
        "group.clip_high": 4e-4,
        "group.ratio": "sequence",
        "group.reducer": "sequence",
        "kl_coef": 0.0,
    },
    "cispo": {
        **_LOSS,
        **_DYNAMIC,
        "group.ratio": "weight",
        "group.clip_high": 4.0,  # weights up to 5: MiniMax-M1 gives no number, ScaleRL (arXiv 2510.13786) recommends this one
        "group.reducer": "token",
        "kl_coef": 0.0,
    },
}
"""Settings of each preset, by their names in [policy]."""

OVERLONG = {"dapo": 5, "cispo": 5}
"""Of these, group.overlong_tokens is one part in so many of sampler.max_new_tokens: DAPO has 4,096 of 20,480."""
KEY = "policy.group.preset"


def settings(preset: str, max_new_tokens: int | None = None) -> dict[str, Any]:
    """What a preset sets, by names in [policy]; max_new_tokens: the sampler's, where it is known."""
    chosen = dict(PRESETS.get(preset, {}))
    if preset in OVERLONG:
        del chosen["group.overlong_tokens"]
        if max_new_tokens is not None:
            chosen["group.overlong_tokens"] = max(max_new_tokens // OVERLONG[preset], 1)
    return chosen


def written(section: Any) -> dict[str, Any]:
    """What was set in a section, whether it is a table or has been checked already."""
    if isinstance(section, BaseModel):
        return {name: getattr(section, name) for name in section.model_fields_set}
    return dict(section) if isinstance(section, Mapping) else {}


def fill(policy: Any, max_new_tokens: int | None = None) -> Any:
    """[policy] with its preset's settings where nothing else was set; as it is, if there is no preset to follow."""
    table = written(policy)
    group = written(table.get("group"))
    if table.get("kind") != "grpo" or not isinstance(preset := group.get("preset"), str) or preset not in PRESETS:
        return policy
    for name, value in settings(preset, max_new_tokens).items():
        section, _, key = name.rpartition(".")
        (group if section else table).setdefault(key, value)
    return {**table, "group": group}


def clear(table: Mapping[str, Any], preset: Any) -> None:
    """Takes from a recipe's table what this preset is about to set: a preset on top of a recipe counts more than the recipe."""
    policy = table.get("policy", {})
    for name in PRESETS.get(preset, {}) if isinstance(preset, str) and isinstance(policy, dict) else ():
        section, _, key = name.rpartition(".")
        place = policy.get(section, {}) if section else policy
        if isinstance(place, dict):
            place.pop(key, None)
