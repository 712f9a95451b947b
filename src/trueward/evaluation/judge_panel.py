"""What a panel of judges says: each one's line, how far they agree, and the one that likes the policy least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trueward.evaluation import agreement
from trueward.evaluation.length_control import length_controlled
from trueward.evaluation.paired_items import PairedItems
from trueward.evaluation.statistics import Z
from trueward.evaluation.win_rate import mean_share


def judge_row(
    items: PairedItems, lengths: np.ndarray, their_lengths: np.ndarray, is_sure: bool = True
) -> dict[str, Any]:
    """A judge's figures at one evaluation: the paired test, and how often it prefers the policy's answer, over measured items.

    lengths, their_lengths [n]: tokens of the two answers. is_sure: a difference from −1 to 1 is 2p − 1; otherwise, of
    ratings, its sign alone says who won.
    """
    known = np.isfinite(items.differences)
    differences = items.differences[known]
    wins = (1 + (differences if is_sure else np.sign(differences))) / 2
    rate, low, high = mean_share((1 + np.sign(differences)) / 2) if len(differences) else (np.nan,) * 3
    controlled = length_controlled(wins, (lengths - their_lengths)[known])
    return {
        **items.row(),
        "win_rate": _number(rate),
        "win_rate_low": _number(low),
        "win_rate_high": _number(high),
        "ties": _number(float((differences == 0).mean())) if len(differences) else None,
        "win_rate_at_length": _number(controlled.rate),
        "win_rate_at_length_low": _number(max(0.0, controlled.rate - Z * controlled.se)),
        "win_rate_at_length_high": _number(min(1.0, controlled.rate + Z * controlled.se)),
    }


def panel_row(differences: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """How far judges agree on who won, a tie being a third label; and the member with the lowest mean.

    differences: by name, [n] each, NaN where a judge said nothing. Empty for fewer than two judges.
    """
    if len(differences) < 2:
        return {}
    table = np.stack(list(differences.values()))
    units: Sequence[Sequence[float]] = [[float(np.sign(x)) for x in column if np.isfinite(x)] for column in table.T]
    counted = agreement.counts(units)
    means = {name: float(x[np.isfinite(x)].mean()) for name, x in differences.items() if np.isfinite(x).any()}
    nothing = not len(counted)
    return {
        "judges": len(differences),
        "items": len(counted),
        "agreement": None if nothing else _number(agreement.raw(counted)),
        "kappa": None if nothing else _number(agreement.fleiss(counted)),
        "alpha": None if nothing else _number(agreement.krippendorff(counted)),
        "worst": min(means, key=lambda name: means[name]) if means else None,
    }


def _number(x: float) -> float | None:
    return round(float(x), 5) if np.isfinite(x) else None
