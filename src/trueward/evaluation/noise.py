"""Annotators' noise in an accuracy: the best accuracy that it allows, and the accuracy with the noise removed."""

from __future__ import annotations

import math


def label_ceiling(agreement: float) -> tuple[float, float]:
    """Lower and upper bound of the best possible accuracy on the choices of annotators with this agreement.

    With p the chance of a choice on a pair, two agree in A = E[p² + (1 − p)²], and the best guess is right in
    E[max(p, 1 − p)] = ½ + ½E|2p − 1|. Since 2A − 1 = E[(2p − 1)²], that lies between A (every pair is certain or a coin toss)
    and (1 + √(2A − 1)) / 2 (all pairs are equally certain). `ValueError` below ½ or above 1, which can't be.
    """
    if not 0.5 <= agreement <= 1:
        raise ValueError(f"agreement: two independent draws of one choice agree in 0.5 to 1 of cases, got {agreement}")
    return agreement, (1 + math.sqrt(2 * agreement - 1)) / 2


def flips(agreement: float) -> float:
    """The share ε of flipped labels if all are equally likely to be flipped: A = (1 − ε)² + ε², ε ≤ ½."""
    return 1 - label_ceiling(agreement)[1]


def add_noise(accuracy: float, flipped: float) -> float:
    """The accuracy against labels of which a share is flipped at random: a(1 − 2ε) + ε."""
    return accuracy * (1 - 2 * flipped) + flipped


def undo_noise(accuracy: float, flipped: float) -> float:
    """The accuracy against labels without noise, (a − ε) / (1 − 2ε), limited to [0, 1]. `ValueError` for ε = ½."""
    if not 0 <= flipped < 0.5:
        raise ValueError(f"flipped: a share from 0 to below 0.5 can be undone, got {flipped}")
    return min(max((accuracy - flipped) / (1 - 2 * flipped), 0.0), 1.0)
