"""The guards of [evaluation]: their settings' names, and what a guard may be called."""

from __future__ import annotations

from collections.abc import Sequence

GUARD_FIELDS = ("guards", "guard_every", "guard_items", "guard_stops", "guard_minutes")
"""The settings of guards."""
KINDS = ("verifier", "lm-eval", "inspect")


def refuse_unknown_guards(names: Sequence[str]) -> None:
    """`ValueError` for a guard of another kind, without a name, or named twice."""
    for name in names:
        kind, _, task = name.partition(":")
        if kind not in KINDS or not task.strip():
            raise ValueError(f"guards: expected verifier:NAME, lm-eval:TASK or inspect:TASK, got {name!r}")
        if names.count(name) > 1:
            raise ValueError(f"guards: {name!r} is there twice")
