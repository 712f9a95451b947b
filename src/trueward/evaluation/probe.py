"""A linear probe: how well a straight line through frozen states ranks the comparisons (Alain & Bengio 2016, arXiv 1610.01644).

Logistic regression with a ridge on the difference of two answers' states, through the origin, since swapping the answers swaps
the label. A reward model that does worse on unseen prompts hasn't learnt what its own first weights already knew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trueward.evaluation.clustered import numbered

RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # per comparison, for states of variance 1
FOLDS = 5
ROUNDS = 30  # of Newton's method, at most


@dataclass(frozen=True)
class Probe:
    """A direction in the space of the states [d], the ridge it was fitted with, and its cross-validated loss, nats."""

    weights: np.ndarray
    ridge: float
    loss: float

    def margins(self, differences: np.ndarray) -> np.ndarray:
        """How much better the first answer is, in log-odds: [n] of the differences of states [n, d]."""
        return np.asarray(differences @ self.weights)


def fit_probe(differences: np.ndarray, probability: np.ndarray, prompts: Sequence[str]) -> Probe:
    """The probe with the ridge of the lowest loss in five folds of prompts.

    differences [n, d]: states of the first answers less those of the second. probability [n]: that the first is better; ½ is a
    tie. prompts: their ids, n of them. At least five of them must differ.
    """
    folds = numbered(prompts) % FOLDS
    scale = np.sqrt((differences**2).mean(axis=0))
    scaled = differences / np.where(scale > 0, scale, 1.0)
    losses = []
    for ridge in RIDGES:
        margins = np.zeros(len(scaled))
        for fold in range(FOLDS):
            out = folds == fold
            margins[out] = scaled[out] @ _fit(scaled[~out], probability[~out], ridge)
        losses.append(float(_loss(margins, probability).mean()))
    best = int(np.argmin(losses))
    weights = _fit(scaled, probability, RIDGES[best]) / np.where(scale > 0, scale, 1.0)
    return Probe(weights, RIDGES[best], losses[best])


def _fit(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    """Newton's method for the weights [d] that minimise the mean loss + ridge/2 · |w|²; in the dual where n < d."""
    n, d = x.shape
    if n < d:  # the solution lies in the span of the rows: w = xᵀa
        kernel = x @ x.T
        values, vectors = np.linalg.eigh(kernel)
        kept = values > values[-1] * 1e-10
        basis = vectors[:, kept] * np.sqrt(values[kept])  # basis·basisᵀ = kernel: coordinates of the rows in their span
        inside = _newton(basis, y, ridge)
        return np.asarray(x.T @ (vectors[:, kept] @ (inside / np.sqrt(values[kept]))))
    return _newton(x, y, ridge)


def _newton(x: np.ndarray, y: np.ndarray, ridge: float) -> np.ndarray:
    n, d = x.shape
    weights = np.zeros(d)
    for _ in range(ROUNDS):
        p = 0.5 * (1.0 + np.tanh(0.5 * (x @ weights)))
        slope = x.T @ (p - y) / n + ridge * weights
        curvature = (x * (p * (1 - p))[:, None]).T @ x / n + ridge * np.eye(d)
        step = np.linalg.solve(curvature, slope)
        before = _objective(x, y, ridge, weights)
        size = 1.0
        while size > 1e-6 and _objective(x, y, ridge, weights - size * step) > before:
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-8:
            break
    return weights


def _objective(x: np.ndarray, y: np.ndarray, ridge: float, weights: np.ndarray) -> float:
    return float(_loss(x @ weights, y).mean() + ridge / 2 * (weights**2).sum())


def _loss(margins: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """Bradley–Terry loss of each comparison, nats: log(1 + e^m) − p·m."""
    return np.asarray(np.logaddexp(0.0, margins) - probability * margins)
