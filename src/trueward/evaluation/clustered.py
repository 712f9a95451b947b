"""Intervals over observations that come in clusters: comparisons of one prompt share answers, so they are right together.

Pairs of a ranking, several votes on a pair and several pairs of a prompt are not so many independent observations. The
variance of a mean is therefore that between clusters (Liang & Zeger 1986), and a quantile is Student's with one degree of
freedom less than there are clusters.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np

from trueward.evaluation.statistics import Z, student_quantile, wilson


def numbered(keys: Sequence[Hashable]) -> np.ndarray:
    """The number of each observation's cluster, from 0 in the order of first appearance; int [n]."""
    place: dict[Hashable, int] = {}
    return np.array([place.setdefault(key, len(place)) for key in keys], dtype=np.int64)


def sums(x: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Sums of x [n] over each cluster: [clusters]."""
    return np.bincount(np.unique(clusters, return_inverse=True)[1].reshape(-1), weights=x)


def share(points: np.ndarray, clusters: np.ndarray) -> tuple[float, float, float]:
    """The mean of points in [0, 1], and its 95 % interval: Wilson's at the effective number of observations.

    points [n]: 1, 0, or between for a half right. clusters [n]: numbers of the clusters. The effective number is n over the
    design effect, the variance between clusters in units of that of independent observations (Kish 1965, section 8.2), which
    is never counted as below 1; where all points are equal, the number of clusters. Where every cluster holds one observation
    this is Wilson's interval. (NaN, 0, 1) for no points.
    """
    n = len(points)
    if n == 0:
        return math.nan, 0.0, 1.0
    mean, groups = float(points.mean()), len(np.unique(clusters))
    if groups == n:
        return mean, *wilson(mean * n, n)
    if groups < 2:
        return mean, 0.0, 1.0
    between = groups / (groups - 1) * float((sums(points - mean, clusters) ** 2).sum()) / n**2
    alone = mean * (1 - mean) / n
    effective = n / max(1.0, between / alone) if alone > 0 and between > 0 else float(groups)
    quantile = student_quantile(0.975, groups - 1)
    low, high = wilson(mean * effective, effective, max(Z, quantile))
    return mean, low, high
