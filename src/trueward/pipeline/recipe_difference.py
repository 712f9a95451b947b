"""In which setting two recipes differ, of those that change a result."""

from __future__ import annotations

from typing import Any

from trueward import config
from trueward.config import Recipe, Section


def as_plain(value: Any) -> Any:
    """A setting as JSON; a whole recipe without [runtime], which changes no result."""
    if isinstance(value, Recipe):
        table = value.inputs()
        return {**table, "evaluation": config.without_keys(table["evaluation"])}
    if not isinstance(value, Section):
        return value
    dumped = value.model_dump(mode="json")
    return config.without_keys(dumped) if isinstance(value, config.EvaluationConfig) else dumped


LEAVES = ("evaluation.proxy_is_truth", "evaluation.guard_minutes")
"""Settings of [evaluation] that say what a run may do, and change no result."""


def differing(one: Recipe, other: Recipe) -> str:
    """The first setting in which two recipes differ; empty if there is none. Those that change no result are left aside:
    [runtime], name, description and `LEAVES`.
    """

    def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key, value in table.items():
            if isinstance(value, dict):
                out |= flat(value, f"{prefix}{key}.")
            else:
                out[prefix + key] = value
        return out

    left, right = (
        flat({k: v for k, v in as_plain(r).items() if k not in ("name", "description")}) for r in (one, other)
    )
    for key in [*left, *right]:
        if key not in LEAVES and left.get(key) != right.get(key):
            return f"{key} is {left.get(key, 'not set')} there, {right.get(key, 'not set')} here"
    return ""
