"""Confidence intervals and standard errors."""

from __future__ import annotations

import math

import numpy as np

Z = 1.959964  # 95 %, two-sided
NINETY_FIVE = 1.96  # the same, as it is printed
ROUNDING = 1e-12  # an SD below this share of the values is rounding


def standard_error(x: np.ndarray) -> float:
    """Standard error of the mean of independent values [n]; NaN for fewer than two."""
    return float(x.std(ddof=1) / math.sqrt(len(x))) if len(x) > 1 else float("nan")


def student_quantile(level: float, freedom: int) -> float:
    """The value that Student's t with `freedom` degrees of freedom stays below with the probability `level`."""
    from scipy import special  # here, not above: pages and the studio take other things from this file

    assert freedom >= 1
    return float(special.stdtrit(freedom, level))


def wilson(successes: float, n: float, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval for a share of n observations (Wilson 1927). (0, 1) for n = 0.

    n may be an effective number, and successes a sum of halves; where ties count half, `win_rate.score_interval`.
    """
    if n == 0:
        return 0.0, 1.0
    p = successes / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)


def bootstrap(x: np.ndarray, seed: int, draws: int = 2000) -> tuple[float, float]:
    """A 95 % interval of the mean, BCa (Efron 1987): quantiles of resampled means, shifted for bias and skewness.

    x [n], one value for each independent unit, a prompt. Both ends are the mean where nothing varies but by rounding.
    """
    mean = float(x.mean())
    if len(x) < 2 or not x.std() > ROUNDING * np.abs(x).max():
        return mean, mean
    from scipy import stats  # here, not above: it takes half a second, and only this function needs it

    draw = np.random.default_rng(seed)
    ends = stats.bootstrap((x,), np.mean, n_resamples=draws, method="BCa", rng=draw).confidence_interval
    return float(ends.low), float(ends.high)
