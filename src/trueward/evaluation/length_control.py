"""A win rate at equal lengths: what is left of a judge's preference once its liking for long answers is taken out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

RIDGE = 0.01  # a hundredth of a prompt that nobody won: keeps the fit finite where every prompt was won
STEPS, CLOSE = 50, 1e-10
FEWEST = 10  # prompts


@dataclass(frozen=True)
class LengthControlled:
    """The share of prompts won between answers of one length, its standard error, and the log-odds for each SD of the gap."""

    rate: float
    se: float
    slope: float


def length_controlled(wins: np.ndarray, gaps: np.ndarray) -> LengthControlled:
    """Fit logit P(win) = a + b·gap by maximum likelihood; the rate is σ(a), the win rate where the gap is 0.

    After Dubois et al. 2024 (arXiv 2404.04475), with one model and no term for the prompt. wins [n]: 1 for a win, ½ for a tie,
    or a probability. gaps [n]: our length less theirs, in any unit. Errors are the sandwich's, right for probabilities too. NaN
    for fewer than `FEWEST` prompts.
    """
    n = len(wins)
    if n < FEWEST:
        return LengthControlled(math.nan, math.nan, math.nan)
    spread = float(np.sqrt((gaps.astype(np.float64) ** 2).mean()))
    x = np.stack([np.ones(n), gaps / spread if spread > 0 else np.zeros(n)], axis=1)
    beta = np.zeros(2)
    for _ in range(STEPS):
        p = _sigmoid(x @ beta)
        gradient = x.T @ (wins - p) - RIDGE * beta
        hessian = (x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient)
        beta = beta + step * min(
            1.0, 4.0 / max(1e-12, float(np.abs(step).max()))
        )  # far steps overshoot where p is flat
        if float(np.abs(step).max()) < CLOSE:
            break
    p = _sigmoid(x @ beta)
    scores = x * (wins - p)[:, None]
    bread = np.linalg.inv((x * (p * (1 - p))[:, None]).T @ x + RIDGE * np.eye(2))
    covariance = bread @ (scores.T @ scores) @ bread * n / (n - 2)
    rate = float(_sigmoid(beta[0]))
    return LengthControlled(rate, rate * (1 - rate) * math.sqrt(max(0.0, covariance[0, 0])), float(beta[1]))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    out: np.ndarray = 0.5 * (1.0 + np.tanh(0.5 * x))
    return out
