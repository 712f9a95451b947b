"""Which pairs people judge next: random ones, the most informative ones, or those of the widest margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Strategy = Literal["random", "d-optimal", "gap"]
LEAST_RANDOM = 0.2  # of every round, so that the reward model can be evaluated on pairs that it did not pick


@dataclass(frozen=True)
class Chosen:
    """A chosen pair: its index, the strategy that chose it, and the probability of that given the candidates."""

    index: int
    strategy: Strategy
    propensity: float


def d_optimal(features: np.ndarray, margins: np.ndarray, count: int, ridge: float = 1.0) -> list[int]:
    """The pairs that are most informative about a linear reward, chosen one after the other: p(1 − p)·xᵀH⁻¹x is highest.

    features x [n, d], the difference of the two answers' last hidden states; margins [n], the reward model's, so that
    p = σ(margin). H = ridge·I + Σ p(1 − p)·x·xᵀ over the pairs chosen so far, with x scaled to a mean square of 1, is the
    information about the weights; each choice multiplies its determinant by 1 + p(1 − p)·xᵀH⁻¹x (D-optimality; Chaloner &
    Verdinelli 1995, section 4).
    """
    n, d = features.shape
    size = np.sqrt(np.mean(features**2)) or 1.0
    x = features / size
    p = 1 / (1 + np.exp(-np.clip(margins, -30, 30)))
    weight = p * (1 - p)
    inverse = np.eye(d) / ridge
    spread = np.einsum("ij,ij->i", x, x) / ridge  # xᵀH⁻¹x of every candidate, kept up to date
    taken: list[int] = []
    free = np.ones(n, dtype=bool)
    for _ in range(min(count, n)):
        best = int(np.argmax(np.where(free, weight * spread, -np.inf)))
        taken.append(best)
        free[best] = False
        along = inverse @ x[best]
        share = weight[best] / (1 + weight[best] * spread[best])
        inverse -= share * np.outer(along, along)
        spread -= share * (x @ along) ** 2
    return taken


def largest_gap(margins: np.ndarray, count: int) -> list[int]:
    """The pairs that the reward model is most confident about, to find where it is confidently wrong."""
    return [int(i) for i in np.argsort(-np.abs(margins), kind="stable")[:count]]


def choose(
    strategy: Strategy, features: np.ndarray, margins: np.ndarray, count: int, random_share: float, seed: int
) -> list[Chosen]:
    """`count` of n candidates, at least `random_share` of them at random from those that the strategy did not pick.

    They are in a random order, so that a round which is closed early has its share of both. Given the candidates, a
    strategy's picks are certain (propensity 1), and each of the others is equally probable.
    """
    if not LEAST_RANDOM <= random_share <= 1:
        raise ValueError(f"the random share: expected {LEAST_RANDOM} to 1, got {random_share}")
    n = len(margins)
    count = min(count, n)
    by_rule = 0 if strategy == "random" else int(count * (1 - random_share))
    ruled = d_optimal(features, margins, by_rule) if strategy == "d-optimal" else largest_gap(margins, by_rule)
    others = np.setdiff1d(np.arange(n), ruled)
    draw = np.random.default_rng(seed)
    drawn = draw.permutation(others)[: count - by_rule]
    share = len(drawn) / len(others) if len(others) else 1.0
    chosen = [Chosen(i, strategy, 1.0) for i in ruled] + [Chosen(int(i), "random", share) for i in drawn]
    return [chosen[i] for i in draw.permutation(len(chosen))]
