"""Is one policy better than another? A paired test by prompt, and the level of each of many such tests.

The k-th test of a question is made at the level α/(k(k+1)); these levels add up to α, so that over any number of
evaluations, however much they depend on each other, the chance of a single false positive is at most α (the union bound).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Any

import numpy as np

from trueward.evaluation.betting import bounded_score
from trueward.evaluation.statistics import ROUNDING, standard_error

NORMAL = NormalDist()
FAR = 30.0  # a normal score that no data pass: its tail is 1e-197
FEWEST = 20  # prompts; on fewer no mean is tested (verdict.py)
UNSEEN = 10.0  # SDs under SFT: how far an answer that wasn't drawn may be, where those that were drawn don't vary


@dataclass(frozen=True)
class Paired:
    """A mean difference, its standard error, its test against 0 as a normal score z, and the number of prompts."""

    mean: float
    se: float
    z: float
    prompts: int


def paired(ours: np.ndarray, theirs: np.ndarray, span: float | None = None) -> Paired:
    """Ours less theirs, prompt by prompt: [prompts], or [prompts, answers], whose answers are averaged first.

    A prompt is one observation however often it was answered, since answers to one prompt are alike. span: the highest
    score that there can be less the lowest, where that is known: then the test holds for any distribution within (`betting`);
    otherwise it is `normal_score`.
    """
    difference = by_prompt(ours) - by_prompt(theirs)
    mean, se, n = float(difference.mean()), standard_error(difference), len(difference)
    if span is not None and n > 1:
        return Paired(mean, se, bounded_score(difference, span), n)
    return Paired(mean, se, float(normal_score(mean, se, skewness(difference), n)), n)


def by_prompt(scores: np.ndarray) -> np.ndarray:
    """One number for each prompt: scores [prompts], or the means of [prompts, answers]."""
    means: np.ndarray = scores if scores.ndim == 1 else scores.mean(axis=1)
    return means


def skewness(x: np.ndarray) -> Any:
    """m₃/m₂^1.5 of central moments over the last axis; 0 where nothing varies."""
    centred = x - x.mean(axis=-1, keepdims=True)
    second = (centred**2).mean(axis=-1)
    return np.where(second > 0, (centred**3).mean(axis=-1) / np.where(second > 0, second, 1.0) ** 1.5, 0.0)


def normal_score(mean: Any, se: Any, skew: Any, n: int) -> np.ndarray:
    """The test of mean = 0 as a score z that a standard normal exceeds with the same probability.

    Two tests, and the weaker of their two scores, so that both have to agree: Student's t = mean/se, and t corrected for
    skewness γ, g = t + γ(t²/3 + 1/6)/√n + γ²t³/(27n) (Hall 1992, "On the removal of skewness by transformation"). Far out
    in the tail, where late evaluations are decided, t alone is wrong four times as often as its level if differences are as
    skewed as an exponential; g alone 1.5 times if they are symmetric with long tails (docs/instruments.md). 0 where they
    have opposite signs. NaN for fewer than two prompts.

    Differences that don't vary say nothing of the answers that weren't drawn, one of which may undo them all. They are tested
    with one more, `UNSEEN` SDs on the other side: 128 prompts that are all an SD better are clearly so, two are not.
    """
    from scipy import special  # here, not above: it takes a fifth of a second, and reading a sweep does not need it

    mean, se, skew = (np.asarray(x, dtype=np.float64) for x in (mean, se, skew))
    if n < 2:
        return np.full(np.broadcast(mean, se, skew).shape, np.nan)
    varies = se > ROUNDING * (1 + np.abs(mean))
    unseen = -UNSEEN * np.sign(mean)
    together = (n * mean + unseen) / (
        n + 1
    )  # the mean of n equal values and that one; below, its error and its skewness
    skew = np.where(varies, skew, (n - 1) / math.sqrt(n) * np.sign(unseen))
    se = np.where(varies, se, np.where(unseen == 0, 1.0, np.abs(unseen - mean) / (n + 1)))
    t = np.where(varies, mean, np.where(together * mean > 0, together, 0.0)) / se
    g = t + skew * (t**2 / 3 + 1 / 6) / np.sqrt(n) + skew**2 * t**3 / (27 * n)
    weaker = np.where(
        t * g > 0, np.minimum(np.abs(t), np.abs(g)), 0.0
    )  # a tail falls with t, so this is the weaker test
    tail = student_tail(weaker, n - 1)
    score: np.ndarray = np.sign(t) * np.where(tail > 1e-197, -special.ndtri(np.maximum(tail, 1e-197)), FAR)
    return score


def student_tail(t: np.ndarray, freedom: int) -> np.ndarray:
    """P(T ≥ t) for t ≥ 0, of Student's distribution with `freedom` degrees of freedom."""
    from scipy import special

    tail: np.ndarray = np.asarray(special.stdtr(freedom, -np.asarray(t, dtype=np.float64)))
    return tail


def spent(alpha: float, k: int) -> float:
    """The level of the k-th test, k from 1: α/(k(k+1)). Over all k these add up to α."""
    assert k >= 1
    return alpha / (k * (k + 1))


@cache
def needed(alpha: float, k: int) -> float:
    """The normal score that the k-th one-sided test has to reach."""
    return -NORMAL.inv_cdf(spent(alpha, k))
