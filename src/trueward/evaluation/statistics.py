"""Intervals and errors."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

Z = 1.959964  # 95 %, two-sided
NINETY_FIVE = 1.96  # the same, as it is printed


def standard_error(x: np.ndarray) -> float:
    """Of the mean of independent values; NaN for fewer than two."""
    return float(x.std(ddof=1) / math.sqrt(len(x))) if len(x) > 1 else float("nan")


def student_quantile(level: float, freedom: int) -> float:
    """The point that Student's t with so many degrees of freedom stays below with the probability `level`."""
    from scipy import special  # here, not above: pages and the studio take other things from this file

    assert freedom >= 1
    return float(special.stdtrit(freedom, level))


def wilson(successes: float, n: int, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval for a share (Wilson 1927); ties may count half. (0, 1) for n = 0."""
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def win_rate(ours: np.ndarray, theirs: np.ndarray) -> tuple[float, float, float]:
    """Share of prompts on which ours scores higher, ties half, with Wilson's interval. One answer a side and prompt."""
    wins = float((ours > theirs).sum() + 0.5 * (ours == theirs).sum())
    low, high = wilson(wins, len(ours))
    return (wins / len(ours) if len(ours) else 0.5), low, high


def bootstrap(x: np.ndarray, seed: int, draws: int = 2000) -> tuple[float, float]:
    """A 95 % interval of the mean, BCa (Efron 1987): quantiles of resampled means, shifted for bias and skewness.

    x [n], one value for each independent unit, a prompt. Both ends are the mean where nothing varies.
    """
    mean = float(x.mean())
    if len(x) < 2 or not x.std() > 0:
        return mean, mean
    picked = np.random.default_rng(seed).integers(0, len(x), (draws, len(x)))
    means = np.sort(x[picked].mean(axis=1))
    normal = NormalDist()
    below = ((means < mean).sum() + 0.5 * (means == mean).sum()) / draws
    bias = normal.inv_cdf(min(max(float(below), 0.5 / draws), 1 - 0.5 / draws))
    centred = x - mean
    acceleration = float((centred**3).sum() / (6 * (centred**2).sum() ** 1.5))  # of a mean, leaving out one at a time
    ends = []
    for z in (-Z, Z):
        shifted = bias + (bias + z) / (1 - acceleration * (bias + z))
        ends.append(float(np.quantile(means, normal.cdf(shifted))))
    return ends[0], ends[1]
