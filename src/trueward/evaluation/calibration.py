"""Calibration of a reward model: whether its confidence matches how often it is right.

margin: reward of the first response minus that of the second, in raw units, so that σ(margin) is the model's probability
that the first one is better, [n]. label: the annotator's choice, 1, 0, or .5 for a tie, [n].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from trueward.evaluation.clustered import sums
from trueward.evaluation.statistics import student_quantile

BINS = 10
DRAWS = 1000


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1/(1 + exp(−x)), without overflow; any shape."""
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def folded(margin: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The model's confidence in the side that it prefers, in [.5, 1], and whether that side won; each [n]."""
    return sigmoid(np.abs(margin)), np.where(margin >= 0, label, 1.0 - label)


@dataclass(frozen=True)
class Bin:
    """A bin of the reliability curve: mean confidence, share won, its standard error, comparisons."""

    confidence: float
    won: float
    error: float
    count: int


def reliability(margin: np.ndarray, label: np.ndarray, bins: int = BINS) -> list[Bin]:
    """Bins of equal mass by confidence; fewer where there are fewer comparisons than bins."""
    confidence, won = folded(margin, label)
    order = np.argsort(confidence, kind="stable")
    curve = []
    for rows in np.array_split(order, min(bins, len(order)) or 1):
        if not len(rows):
            continue
        share = float(won[rows].mean())
        # With the model's own confidence where a bin has only wins: such a share is not known without error.
        p = min(max(share, 0.5 / len(rows)), 1 - 0.5 / len(rows))
        curve.append(Bin(float(confidence[rows].mean()), share, math.sqrt(p * (1 - p) / len(rows)), len(rows)))
    return curve


def expected_error(margin: np.ndarray, label: np.ndarray, bins: int = BINS) -> float:
    """ECE: mean over comparisons of |confidence − share won| of their bin (Guo et al. 2017, arXiv 1706.04599, eq. 3)."""
    curve = reliability(margin, label, bins)
    return sum(b.count * abs(b.confidence - b.won) for b in curve) / len(margin)


def error_floor(margin: np.ndarray, seed: int = 0, bins: int = BINS, draws: int = DRAWS) -> tuple[float, float]:
    """The ECE of a perfectly calibrated model with these margins: mean and 95 % quantile over labels drawn from σ(margin)."""
    confidence, _ = folded(margin, np.zeros_like(margin))
    confidence = np.sort(confidence)
    won = np.random.default_rng(seed).random((draws, len(margin))) < confidence
    errors = sum(
        np.abs((confidence[rows] - won[:, rows]).sum(1))
        for rows in np.array_split(np.arange(len(margin)), min(bins, len(margin)))
    ) / len(margin)
    return float(np.mean(errors)), float(np.quantile(errors, 0.95))


@dataclass(frozen=True)
class Slope:
    """Of the label on the margin; 1 is calibrated, below it the model is too sure. 1/slope is the temperature."""

    slope: float
    low: float
    high: float


def fitted_slope(
    margin: np.ndarray, label: np.ndarray, clusters: np.ndarray | None = None, steps: int = 50
) -> Slope | None:
    """s of P(first is better) = σ(s·margin), by Newton's method; logistic regression without intercept, a tie as half of both.

    clusters [n]: numbers of the prompts; every comparison is one of its own if not given. The interval is by the sandwich over
    clusters, with Student's quantile. None if no finite s is best: the margins separate the labels, which soft labels (.8 for
    the first) never are.
    """
    size, won = np.abs(margin), folded(margin, label)[1]
    if not float((size * won).sum()) > 0 or not float((size * (1 - won)).sum()) > 0:
        return None  # the loss falls without end as s grows, or as it sinks
    s = 0.0
    for _ in range(steps):
        p = sigmoid(s * margin)
        gradient = float((margin * (label - p)).sum())
        curvature = float((margin**2 * p * (1 - p)).sum())
        step = gradient / max(curvature, 1e-12)
        # Newton overshoots where the curve is flat; a step that long is cut, and the next one starts from there.
        limit = 2.0 / max(float(np.abs(margin).mean()), 1e-12)
        s += min(max(step, -limit), limit)
        if abs(step) < 1e-10 * max(1.0, abs(s)):
            break
    groups = np.arange(len(margin)) if clusters is None else clusters
    scores = sums(margin * (label - sigmoid(s * margin)), groups)
    if len(scores) < 2:
        return Slope(s, -math.inf, math.inf)
    error = math.sqrt(len(scores) / (len(scores) - 1) * float((scores**2).sum())) / max(curvature, 1e-12)
    half = student_quantile(0.975, len(scores) - 1) * error
    return Slope(s, s - half, s + half)


def loss(margin: np.ndarray, label: np.ndarray) -> float:
    """Mean Bradley–Terry loss, nats."""
    return float((label * np.logaddexp(0, -margin) + (1 - label) * np.logaddexp(0, margin)).mean())


def entropy(probability: np.ndarray) -> float:
    """Mean of −p log p − (1 − p) log(1 − p), nats: the lowest possible expected loss for labels drawn with p."""
    p = np.clip(probability, 1e-300, 1 - 1e-16)
    return float(-(p * np.log(p) + (1 - p) * np.log1p(-p)).mean())
