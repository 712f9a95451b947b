"""The share of prompts that are won, a tie half of one: with the interval of paired observations."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from trueward.evaluation.statistics import Z


def win_rate(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Share of prompts on which ours scores higher, ties half, with its 95 % interval.

    ours [prompts]; theirs [prompts], or [prompts, answers]: then a prompt's share is the mean over their answers. (½, 0, 1)
    without prompts.
    """
    against = theirs[:, None] if theirs.ndim == 1 else theirs
    mine = ours[:, None]
    return mean_share(((mine > against) + 0.5 * (mine == against)).mean(axis=1))


def mean_share(values: np.ndarray) -> tuple[float, float, float]:
    """The mean of values in [0, 1], one for each prompt or pair, with its 95 % interval. (½, 0, 1) for none.

    A value v above ½ counts as a win of weight 2v − 1, one below as a loss of 1 − 2v, the rest as a tie. With halves that is
    exact; a share between, of several votes or answers, varies less than it is taken to.
    """
    n = len(values)
    if n == 0:
        return 0.5, 0.0, 1.0
    lean = 2 * np.asarray(values, dtype=np.float64) - 1
    low, high = score_interval(float(lean[lean > 0].sum()), float(-lean[lean < 0].sum()), n)
    return float(np.mean(values)), low, high


def score_interval(wins: float, losses: float, n: float, z: float = Z) -> tuple[float, float]:
    """The score interval of ½ + (P(win) − P(loss))/2 from n pairs, of which the rest are ties (Tango 1998, Stat. Med. 17).

    Its ends are the rates that lie z of their own standard errors from what was counted, with the share of ties that is most
    likely at each. Without ties it is Wilson's interval; taking ties for coin flips makes it up to three times too wide.
    """
    counted = (wins - losses) / n

    def distance(d: float) -> float:
        """Of the difference d = P(win) − P(loss), in standard errors; above 0 where more was counted."""
        b = (2 * n - wins + losses) * d - wins - losses
        lost = (math.sqrt(max(b * b + 8 * n * losses * d * (1 - d), 0.0)) - b) / (4 * n)  # most likely P(loss) at d
        variance, gap = 2 * lost + d * (1 - d), counted - d
        if variance <= 1e-15:
            return math.copysign(math.inf, gap) if gap else 0.0
        return gap / math.sqrt(variance / n)

    return (1 + _crossing(distance, z, -1.0, counted)) / 2, (1 + _crossing(distance, -z, counted, 1.0)) / 2


def _crossing(falling: Callable[[float], float], level: float, low: float, high: float) -> float:
    """Where a function that falls from `low` to `high` passes a level, to 1e-12."""
    for _ in range(42):
        middle = (low + high) / 2
        if falling(middle) > level:
            low = middle
        else:
            high = middle
    return (low + high) / 2
