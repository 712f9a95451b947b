"""Reward against length: the policy's gain between answers of about the same length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = 20  # buckets
IN_BUCKET = 10  # answers, about


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's correlation; NaN if either is constant or not measured."""
    if len(x) < 3 or not (np.isfinite(x).all() and np.isfinite(y).all()) or x.std() < 1e-12 or y.std() < 1e-12:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


@dataclass(frozen=True)
class Gain:
    """The policy's gain over SFT at equal lengths, SDs; its standard error; the share of its answers that this covers."""

    gain: float
    error: float
    matched: float


def matched_gain(ours: np.ndarray, theirs: np.ndarray, our_lengths: np.ndarray, their_lengths: np.ndarray) -> Gain:
    """Difference of mean scores within buckets of length, averaged with weights n₁n₀/(n₁ + n₀) (the smallest variance).

    ours, theirs: scores [n], [m], and as many lengths. Buckets hold about as many answers each. A bucket with answers of one
    side alone is left out; if there are only such, gain and error are NaN.
    """
    _, of, counts = np.unique(np.concatenate([our_lengths, their_lengths]), return_inverse=True, return_counts=True)
    size = len(of) / np.clip(len(of) // IN_BUCKET, 2, MOST)
    # Answers of one length stay together, in the bucket where the middle one of them would be.
    bucket_of = ((counts.cumsum() - counts / 2) // size)[of]
    mine, other = bucket_of[: len(ours)], bucket_of[len(ours) :]
    gains, weights, squares, cells, matched = [], [], 0.0, 0, 0
    for bucket in np.unique(bucket_of):
        a, b = ours[mine == bucket], theirs[other == bucket]
        squares += sum(float(((x - x.mean()) ** 2).sum()) for x in (a, b) if len(x))
        cells += (len(a) > 0) + (len(b) > 0)
        if len(a) and len(b):
            gains.append(float(a.mean() - b.mean()))
            weights.append(len(a) * len(b) / (len(a) + len(b)))
            matched += len(a)
    if not weights:
        return Gain(float("nan"), float("nan"), 0.0)
    freedom = len(of) - cells
    # The variance of a difference is σ²(1/n₁ + 1/n₀) = σ²/weight, so that of their weighted mean is σ²/Σ weights.
    error = float(np.sqrt(squares / freedom / sum(weights))) if freedom > 0 else float("nan")
    return Gain(float(np.average(gains, weights=weights)), error, matched / len(ours))
