"""Whether a guard fell: one sequential test over all guards of a run and all evaluations at which they ran."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trueward.evaluation.paired_items import significant

Row = Mapping[str, Any]
ALPHA = 0.05  # of all guards together: a level of their own, beside that of the truth's alarms
GUARD_FELL = "a guard fell: "  # how the reason begins for which training ended (`evaluation.guard_stops`)
STILL = 1.645  # standard errors below SFT at the last look; one-sided 5 %, since this raises no alarm by itself


def rows_by_guard(evaluations: Sequence[Row]) -> dict[str, list[dict[str, Any]]]:
    """The rows of each guard by its name, with their `step`, in order."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in evaluations:
        told = row.get("guards")
        for name, figures in (told if isinstance(told, Mapping) else {}).items():
            found.setdefault(name, []).append({"gain_z": None, "items": 0, **figures, "step": row.get("step")})
    return found


def fallen(evaluations: Sequence[Row]) -> list[str]:
    """The guards that the policy is surely worse at than SFT, and at the last look that measured them still is.

    Each of g guards is tested at α/g, its k-th look at α/(g·k(k+1)), so the chance that any of them is ever named in a run that
    made none worse is at most α.
    """
    guards = rows_by_guard(evaluations)
    names = []
    for name, rows in guards.items():
        measured = [row for row in rows if row["gain_z"] is not None]
        if significant(rows, "below", ALPHA / len(guards)) and measured[-1]["gain_z"] <= -STILL:
            names.append(name)
    return names


def clause(evaluations: Sequence[Row]) -> str:
    """What a verdict's rule says of guards that fell; empty if none did."""
    names = fallen(evaluations)
    return f"; below SFT’s by the guard {' and '.join(names)}" if names else ""
