"""What a reward model's accuracy predicts: how much best-of-n should gain, and the best accuracy that noisy labels allow."""

from __future__ import annotations

import math

import numpy as np


def largest_of(n: int) -> float:
    """E[max] of n standard normal numbers: ∫ x · n φ(x) Φ(x)^(n−1) dx."""
    x = np.linspace(-10.0, 10.0, 20001)
    below = 0.5 * (1.0 + np.array([math.erf(v / math.sqrt(2.0)) for v in x]))
    density = np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
    return float((x * n * density * below ** (n - 1)).sum() * (x[1] - x[0]))


def best_of_n_gain(accuracy: float, n: int) -> float:
    """Predicted truth of the best of n by the proxy, in SDs of the truth within a prompt: sin(π(a − ½))·E[max of n].

    accuracy a: of the proxy on pairs of the SFT policy's answers, by the truth without noise. Proxy and truth are taken to
    be jointly Gaussian within a prompt: their correlation is then sin(π(a − ½)) (Sheppard 1899).
    """
    return math.sin(math.pi * (accuracy - 0.5)) * largest_of(n)


def flips(agreement: float) -> float:
    """The share ε of flipped labels if all pairs are equally hard: agreement = (1 − ε)² + ε²."""
    return 0.5 * (1.0 - math.sqrt(max(0.0, 2.0 * agreement - 1.0)))


def without_noise(accuracy: float, agreement: float) -> float | None:
    """Accuracy against labels without noise, from that against noisy ones: (acc − ε)/(1 − 2ε), within [0, 1].

    None if annotators agree no more often than by chance.
    """
    wrong = flips(agreement)
    return None if wrong > 0.49 else min(1.0, max(0.0, (accuracy - wrong) / (1.0 - 2.0 * wrong)))


def ceiling(agreement: float) -> tuple[float, float]:
    """Bounds of the best possible accuracy on labels with this agreement."""
    return agreement, 1.0 - flips(agreement)
