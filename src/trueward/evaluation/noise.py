"""Annotators' noise in an accuracy: the best accuracy that it allows, and the accuracy with the noise removed.

Annotators err where two answers are about equally good, by Bradley–Terry: the better one is chosen with σ(gap/T). So noise
takes little from pairs that are told apart and much from those that hardly differ, where a reward model errs as well.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

NO_MORE_THAN_CHANCE = 0.5002  # an agreement up to which nothing can be said about the accuracy without noise
POINTS = np.linspace(-8.0, 8.0, 801)  # gaps, in SDs
WEIGHTS = (
    np.exp(-(POINTS**2) / 2) / np.exp(-(POINTS**2) / 2).sum()
)  # of a standard normal, whose sums are exact to 1e-14


def label_ceiling(agreement: float) -> tuple[float, float]:
    """Lower and upper bound of the best possible accuracy on the choices of annotators with this agreement.

    With p the chance of a choice on a pair, two agree in A = E[p² + (1 − p)²], and the best guess is right in
    E[max(p, 1 − p)] = ½ + ½E|2p − 1|. Since 2A − 1 = E[(2p − 1)²], that lies between A (every pair is certain or a coin toss)
    and (1 + √(2A − 1)) / 2 (all pairs are equally certain). `ValueError` below ½ or above 1, which can't be.
    """
    if not 0.5 <= agreement <= 1:
        raise ValueError(f"agreement: two independent draws of one choice agree in 0.5 to 1 of cases, got {agreement}")
    return agreement, (1 + math.sqrt(2 * agreement - 1)) / 2


@cache
def sharpness(agreement: float) -> float:
    """1/T, T in SDs of the gap, at which two Bradley–Terry annotators agree so often: A = ½ + ½E[tanh²(gap/2T)].

    The gaps of two answers to one prompt are taken to be normal.
    Infinite for an agreement of 1. `ValueError` as `label_ceiling`.
    """
    label_ceiling(agreement)
    low, high = math.log(1e-4), math.log(1e4)
    if agreement >= _agreement(math.exp(high)):
        return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _agreement(math.exp(middle)) < agreement else (low, middle)
    return math.exp(high)


def _agreement(sharp: float) -> float:
    """How often two annotators of this sharpness agree."""
    return 0.5 + 0.5 * float(WEIGHTS @ np.tanh(sharp * POINTS / 2) ** 2)


def with_noise(accuracy: float, agreement: float) -> float:
    """The accuracy on the choices of such annotators, from that on the truth's own order of two answers.

    Proxy and truth are taken to be jointly normal within a prompt: their correlation is then ρ = sin(π(a − ½)) (Sheppard 1899),
    the proxy prefers the first with Φ(gap·ρ/√(1 − ρ²)), the annotator with σ(gap/T).
    """
    if math.isinf(sharp := sharpness(agreement)):
        return accuracy
    surer = 0.5 * np.tanh(sharp * POINTS / 2)  # σ − ½
    slope = math.tan(math.pi * (min(max(accuracy, 0.0), 1.0) - 0.5))  # ρ/√(1 − ρ²)
    prefers = np.array([0.5 * math.erf(x) for x in slope * POINTS / math.sqrt(2)])  # Φ − ½
    return 0.5 + 2 * float(WEIGHTS @ (surer * prefers))


def without_noise(accuracy: float, agreement: float) -> float | None:
    """The accuracy on the truth's own order, from that on annotators' choices: `with_noise` inverted, within [0, 1].

    1 for an accuracy above all that this agreement allows. None if annotators agree no more often than by chance.
    """
    if agreement <= NO_MORE_THAN_CHANCE:
        return None
    low, high = 0.0, 1.0
    if accuracy >= with_noise(1.0, agreement) - 1e-12:
        return 1.0
    if accuracy <= with_noise(0.0, agreement) + 1e-12:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if with_noise(middle, agreement) < accuracy else (low, middle)
    return (low + high) / 2
