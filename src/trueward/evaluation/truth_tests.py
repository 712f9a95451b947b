"""What the verdict tests of an evaluation's truths: rows for one sequential test, and whether there is anything to test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trueward.evaluation.paired import FEWEST
from trueward.evaluation.paired_items import significant

Row = Mapping[str, Any]
LEAST_MEASURED = 0.5  # of an evaluation's answers; of fewer, those that a judge did answer may be the easy ones


def tested_rows(after: Sequence[Row]) -> list[Row]:
    """The first truth at each evaluation, as `paired_items.significant` reads it."""
    return [{"gain_z": row.get("truth_gain_z"), "items": _measured(row)} for row in after]


def not_measured(now: Row) -> str:
    """Why the first truth can't be read at an evaluation, in words; empty if it can."""
    missing, measured = now.get("truth_missing") or 0, _measured(now)
    if not missing or (measured >= FEWEST and measured >= LEAST_MEASURED * (measured + missing)):
        return ""
    reason = next((str(row["failure"]) for row in (now.get("judges") or {}).values() if row.get("failure")), "")
    said = f" ({reason})" if reason else ""
    return f"not measured: the truth said nothing of {missing} of {missing + measured} answers{said}"


def objecting(after: Sequence[Row], alpha: float, still: float) -> list[str]:
    """Judges of [[evaluation.judge]] that surely found the policy worse than SFT, and at the last evaluation still do.

    alpha: the level of all of them together. still: standard errors below SFT at the last evaluation.
    """
    names = list(after[-1].get("judges") or {}) if after else []
    rows = {name: [row["judges"][name] for row in after if name in (row.get("judges") or {})] for name in names}
    return [
        name
        for name, tested in rows.items()
        if significant(tested, "below", alpha / len(names)) and (tested[-1]["gain_z"] or 0.0) <= -still
    ]


def _measured(row: Row) -> int:
    """Prompts of which the truth said something; as many as a test needs where a row doesn't tell."""
    count = row.get("truth_prompts", row.get("prompts"))
    return FEWEST if count is None else int(count)
