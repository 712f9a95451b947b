"""A test of a mean whose values are bounded, which is valid for any distribution between the bounds and any number of them.

Bet against "the mean is at most 0": start with a capital of 1 and stake a share λ of it on each value x, so that it becomes
Π(1 + λx). If the mean is at most 0, no stake wins on average, and by Markov's inequality the capital exceeds 1/α with a
probability of at most α (Waudby-Smith & Ramdas 2024, JRSS B 86, arXiv 2010.09686, section 4). The stakes are the mean over a
grid of λ, so the order of the values doesn't matter.

An answer that is rare and very good (2 % of answers pay for all the others) can be missing from a sample. A t-test doesn't know
that it could have been there; the bounds do.
"""

from __future__ import annotations

import numpy as np

STAKES = np.linspace(0.02, 0.8, 40)  # shares of the largest stake that no value can ruin


def capital(x: np.ndarray, low: float) -> float:
    """What bets against a mean of at most 0 have made of 1. x [n], none below `low`, which is below 0."""
    assert low < 0
    assert not len(x) or float(x.min()) >= low * (1 + 1e-9) - 1e-9, "a value out of its bounds"
    grown = np.log1p(STAKES[:, None] * np.maximum(x / -low, -1.0)).sum(axis=1)
    most = float(grown.max(initial=0.0))
    return float(np.exp(min(most, 600.0)) * np.exp(grown - most).mean())


def bounded_score(x: np.ndarray, widest: float) -> float:
    """The test of mean = 0 as a normal score, above 0 where the mean is. widest: no value is farther from 0. NaN for none."""
    from scipy import special  # here, not above: reading a sweep does not need it

    if not len(x) or not np.isfinite(x).all():
        return float("nan")
    sign = 1.0 if x.mean() >= 0 else -1.0
    won = capital(sign * x, -widest)
    return float(sign * max(0.0, -special.ndtri(1 / won))) if won > 1 else 0.0
