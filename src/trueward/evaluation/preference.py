"""What people prefer: the share of pairs in which they choose the policy's answer, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from trueward.evaluation.win_rate import mean_share

Row = dict[str, Any]
TIGHTEST = 3.0  # ρ of the mixture: the sequence is about as narrow as it can be after 50 to 200 pairs


def preferred(values: Sequence[float | None], same: int = 0) -> Row:
    """The win rate of pairs, each the share of its votes that prefer the policy's answer, or None while it has no vote.

    A pair is one observation however many people judged it. same: pairs of equal answers, which nobody judges; each counts
    half. `win_rate_low` to `win_rate_high` is the score interval of 95 %, valid when all pairs are judged;
    `any_time_low` to `any_time_high` holds 95 % however often and whenever it is read.
    """
    judged = [v for v in values if v is not None]
    n, pairs = len(judged), len(values)
    row: Row = {"pairs": pairs, "judged": n, "same": same, "complete": n == pairs}
    if not n:
        return row | dict.fromkeys(("win_rate", "win_rate_low", "win_rate_high", "any_time_low", "any_time_high"))
    equal = same / (same + pairs)
    mean, low, high = mean_share(np.array(judged))
    half = any_time(n)
    ends = {"win_rate": mean, "win_rate_low": low, "win_rate_high": high}
    ends["any_time_low"], ends["any_time_high"] = max(0.0, mean - half), min(1.0, mean + half)
    return row | {key: round((1 - equal) * value + equal / 2, 5) for key, value in ends.items()}


def any_time(n: int, alpha: float = 0.05) -> float:
    """Half the width after n values in [0, 1] of a confidence sequence for their mean.

    √((V + ρ) log((V + ρ)/(ρ α²)))/n with V = n/4, by a normal mixture (Robbins 1970; Howard et al. 2021, arXiv 1810.08240).
    The chance that the mean is outside at any n is at most α.
    """
    v = n / 4 + TIGHTEST
    return math.sqrt(v * math.log(v / (TIGHTEST * alpha**2))) / n
