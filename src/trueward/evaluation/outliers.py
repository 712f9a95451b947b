"""Outliers: completions whose last hidden state in the reward model lies far from those of the SFT policy's answers.

The reward model is fitted to the SFT policy's answers, so its scores far from them are unreliable. The share of outliers is an
early warning and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from trueward.records import Completion
from trueward.scorers.ensemble import Proxy
from trueward.scorers.scorer import ScoredBatch

QUANTILE = 0.99
FEWEST_AT_HOME = 40  # answers of the SFT policy, half of them to fit to


@dataclass(frozen=True)
class HomeRegion:
    """The region of the SFT policy's states: mean [d], inverse of the shrunk covariance [d, d], and the squared distance above
    which a state is an outlier.
    """

    mean: np.ndarray
    precision: np.ndarray
    threshold: float

    def distance(self, states: np.ndarray) -> np.ndarray:
        """Squared Mahalanobis distance, [n, d] -> [n]."""
        away = states - self.mean
        squared: np.ndarray = np.einsum("ij,jk,ik->i", away, self.precision, away)
        return squared

    def outside(self, states: np.ndarray) -> np.ndarray:
        """Which states are beyond the threshold, [n, d] -> [n] of booleans."""
        beyond: np.ndarray = self.distance(states) > self.threshold
        return beyond


@dataclass(frozen=True)
class Outliers:
    """Scores completions and tells which are outliers. `read`: n completions -> their scores and states [n, d]."""

    home: HomeRegion
    read: Callable[[Sequence[Completion]], tuple[ScoredBatch, np.ndarray]]

    def __call__(self, completions: Sequence[Completion]) -> tuple[ScoredBatch, np.ndarray]:
        """The proxy's scores of n completions, and which of them are outliers, [n] of booleans."""
        scored, states = self.read(completions)
        return scored, self.home.outside(states)


def fit_home(states: np.ndarray, quantile: float = QUANTILE) -> HomeRegion:
    """Mean and covariance from the first half of the states [n, d], the threshold from the second.

    Distances are too short in the half that they are fitted to: with its own quantile far more than 1 % of fresh states
    would be outside. Where the second half has fewer than 1 / (1 - quantile) states, its largest distance is the threshold.
    Rows that belong together (answers to one prompt) have to be in the same half.
    """
    half = len(states) // 2
    fitted, held_out = states[:half], states[half:]
    mean = fitted.mean(0)
    home = HomeRegion(mean, np.linalg.pinv(ledoit_wolf(fitted), hermitian=True), np.inf)
    # Weibull's quantile: a fresh state is beyond it with exactly the nominal probability.
    threshold = float(np.quantile(home.distance(held_out), quantile, method="weibull"))
    return HomeRegion(mean, home.precision, threshold)


def ledoit_wolf(x: np.ndarray) -> np.ndarray:
    """Covariance [d, d] of x [n, d], shrunk towards a multiple of the identity (Ledoit & Wolf 2004, section 3).

    Σ = (1 − s)·S + s·μ·I with μ = tr(S)/d and s = min(b², δ²)/δ², where δ² = |S − μI|² and b² estimates E|S − Σ|².
    """
    n, d = x.shape
    centred = x - x.mean(0)
    sample = centred.T @ centred / n
    mu = np.trace(sample) / d
    away = float(((sample - mu * np.eye(d)) ** 2).sum())
    # mean over k of |x_k x_kᵀ − S|², without making n matrices: |x_k|⁴ − 2 x_kᵀ S x_k + |S|²
    noise = float(((centred**2).sum(1) ** 2).mean() - (sample**2).sum()) / n
    share = min(noise, away) / away if away > 0 else 0.0
    shrunk: np.ndarray = (1 - share) * sample + share * mu * np.eye(d)
    return shrunk


def fit_outliers(proxy: Proxy, reference: Sequence[Completion]) -> Outliers | None:
    """The region of the SFT policy's answers, two to a prompt; None if they are fewer than 40."""
    even = len(reference) // 4 * 4  # both answers to a prompt are in the same half
    return (
        Outliers(fit_home(proxy.states(reference[:even])), proxy.judge_with_states) if even >= FEWEST_AT_HOME else None
    )
