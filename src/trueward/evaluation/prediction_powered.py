"""Prediction-powered estimates: a judge on all pairs, people on some, and a mean that is people's, whatever the judge's bias.

    θ = mean of people + λ (mean of the judge on all − mean of the judge where people judged)

The judge's error is measured where both judged and taken off where only the judge did, so a biased judge costs width and never
validity (Angelopoulos et al. 2023, Science 382; λ tuned as in PPI++, Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453). It
needs one thing: that people judged a random part. A judge that knows nothing gets a weight near 0, and people alone are left.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from trueward.evaluation.clustered import numbered
from trueward.evaluation.preference import TIGHTEST
from trueward.evaluation.statistics import student_quantile

FEWEST = 10  # clusters that people judged; with fewer there is no interval
PSEUDO = np.array([[0.0, 0.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.0]])  # (people, judge), in units of the bounds


@dataclass(frozen=True)
class PoweredMean:
    """A mean of people's values over all pairs, with the judge's help. Ends are None with fewer than `FEWEST` clusters."""

    people: int
    """Pairs that people judged."""
    pairs: int
    """All pairs, each of which the judge judged."""
    weight: float
    """λ, the judge's weight: 0 where it tells nothing of what people say."""
    estimate: float
    low: float | None
    """Lower end of the 95 % interval, when as many people judged as were meant to beforehand."""
    high: float | None
    any_time_low: float | None
    """Lower end of the 95 % interval that holds, for many values, however often and whenever it is read."""
    any_time_high: float | None
    alone_low: float | None
    """Lower end of the 95 % interval of people alone, by the same method: what the judge is worth."""
    alone_high: float | None
    variance: float
    """Of people's values, for one pair: with clusters, the variance that independent pairs would need."""
    correlation: float
    """Of people and judge over the pairs that both judged, 0 where it is negative."""

    def needed(self, half_width: float) -> int | None:
        """How many pairs people have to judge in all for an interval of ± half_width; None if all pairs are not enough.

        By var(n) = σ² ((1 − ρ²)/n + ρ²/pairs), the variance of the estimate with n pairs judged by people at the best λ.
        """
        assert half_width > 0
        if self.low is None:
            return None
        quantile = student_quantile(0.975, max(self.people - 2, 1))
        room = (half_width / quantile) ** 2 / max(self.variance, 1e-12) - self.correlation**2 / self.pairs
        n = (1 - self.correlation**2) / room if room > 0 else math.inf
        return max(FEWEST, math.ceil(n)) if n <= self.pairs else None


def powered_mean(
    people: np.ndarray,
    judge: np.ndarray,
    clusters: Sequence[Hashable] | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> PoweredMean:
    """The mean of people's values over all pairs, with its 95 % interval by Student's t over clusters.

    people [pairs]: NaN where people haven't judged; those they judged have to be a random part. judge [pairs]: in their unit;
    any value will do where the judge has none, the middle for example. clusters [pairs]: what pairs share, a prompt; each pair
    its own if None. bounds: of people's values. With them the interval counts four pairs more, as Agresti & Coull's does
    (1998, Am. Stat. 52): people and judge at both ends in each combination. Without them an interval over few values that
    happen to be equal is too narrow. `ValueError` if nobody judged or a value of the judge's is missing.
    """
    people, judge = np.asarray(people, dtype=np.float64), np.asarray(judge, dtype=np.float64)
    assert people.shape == judge.shape == (len(people),), f"{people.shape}, {judge.shape}: [pairs] each"
    both = np.isfinite(people)
    if not both.any():
        raise ValueError("prediction-powered mean: people judged none of the pairs")
    if not np.isfinite(judge).all():
        raise ValueError(
            f"prediction-powered mean: {int((~np.isfinite(judge)).sum())} of the judge's values are missing"
        )
    of_pair = np.arange(len(people)) if clusters is None else numbered(clusters)
    parts = _influences(people, judge, both, of_pair, bounds)
    estimate = float(people[both].mean() + parts.weight * (judge.mean() - judge[both].mean()))
    low, high = bounds or (-math.inf, math.inf)
    estimate = min(max(estimate, low), high)
    groups = int((np.bincount(of_pair[both]) > 0).sum())
    ends: dict[str, float | None] = dict.fromkeys(
        ("low", "high", "any_time_low", "any_time_high", "alone_low", "alone_high")
    )
    if groups >= FEWEST:
        quantile = student_quantile(0.975, groups - 2)
        powered, alone = parts.error(parts.weight), parts.error(0.0)
        middle, whenever = parts.mean(parts.weight), any_time(groups) * math.sqrt(groups)
        for name, at, half in (
            ("", middle, quantile * powered),
            ("any_time_", middle, whenever * powered),
            ("alone_", parts.mean(0.0), quantile * alone),
        ):
            ends |= {f"{name}low": max(low, at - half), f"{name}high": min(high, at + half)}
    n = int(both.sum())
    return PoweredMean(
        people=n,
        pairs=len(people),
        weight=parts.weight,
        estimate=estimate,
        variance=n * parts.error(0.0) ** 2,
        correlation=parts.correlation,
        **ends,
    )


def any_time(n: int, alpha: float = 0.05) -> float:
    """Half the width, in SDs of a value, of a sequence of intervals for a mean after n values.

    That of `preference.any_time` for values of any variance, which is estimated: then it holds for many values (Waudby-Smith et
    al. 2024, Ann. Stat. 52, arXiv 2103.06476).
    """
    v = n + 4 * TIGHTEST
    return math.sqrt(v * math.log(v / (4 * TIGHTEST * alpha**2))) / n


@dataclass(frozen=True)
class _Influences:
    """How much each cluster moves the mean of people, and the difference between the judge's two means: [clusters] each."""

    of_people: np.ndarray
    of_judge: np.ndarray
    people: float
    gap: float  # the judge's mean where people judged less its mean on all
    groups: int  # clusters that people judged, those added among them
    correlation: float

    @property
    def weight(self) -> float:
        """The λ of least variance, at least 0."""
        spread = float((self.of_judge**2).sum())
        return max(0.0, float((self.of_people * self.of_judge).sum()) / spread) if spread > 1e-18 else 0.0

    def mean(self, weight: float) -> float:
        """The estimate with this λ."""
        return self.people - weight * self.gap

    def error(self, weight: float) -> float:
        """Its standard error, for two parameters that were fitted, the mean and λ."""
        moved = self.of_people - weight * self.of_judge
        return math.sqrt(float((moved**2).sum()) * self.groups / max(self.groups - 2, 1))


def _influences(
    people: np.ndarray,
    judge: np.ndarray,
    both: np.ndarray,
    of_pair: np.ndarray,
    bounds: tuple[float, float] | None = None,
) -> _Influences:
    if bounds is not None:  # four pairs more, each a cluster of its own
        more = bounds[0] + (bounds[1] - bounds[0]) * PSEUDO
        people, judge = np.concatenate([people, more[:, 0]]), np.concatenate([judge, more[:, 1]])
        both = np.concatenate([both, np.ones(4, dtype=bool)])
        of_pair = np.concatenate([of_pair, of_pair.max() + 1 + np.arange(4)])
    n, pairs = int(both.sum()), len(people)
    mean, here = float(people[both].mean()), float(judge[both].mean())
    moves, theirs = np.where(both, people - mean, 0.0) / n, np.where(both, judge - here, 0.0) / n
    of_people, where_both = np.bincount(of_pair, moves), np.bincount(of_pair, theirs)
    of_judge = where_both - np.bincount(of_pair, judge - judge.mean()) / pairs
    spread = float((of_people**2).sum() * (where_both**2).sum())
    together = float((of_people * where_both).sum())
    correlation = min(1.0, max(0.0, together / math.sqrt(spread))) if spread > 1e-18 else 0.0
    groups = int((np.bincount(of_pair[both]) > 0).sum())
    return _Influences(of_people, of_judge, mean, here - float(judge.mean()), groups, correlation)
