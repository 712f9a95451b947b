"""Annotators' noise in an accuracy: the ceiling that it sets, and the accuracy with the noise taken out."""

from __future__ import annotations

import math


def label_ceiling(agreement: float) -> tuple[float, float]:
    """The best accuracy that is possible on the choices of annotators of whom two agree so often: its two bounds.

    With p the chance of a choice on a pair, two agree in A = E[p² + (1 − p)²], and the best guess is right in
    E[max(p, 1 − p)] = ½ + ½E|2p − 1|. Since 2A − 1 = E[(2p − 1)²], that lies between A (every pair is sure or a coin)
    and (1 + √(2A − 1)) / 2 (all are equally sure). `ValueError` below ½ or above 1: no such annotators.
    """
    if not 0.5 <= agreement <= 1:
        raise ValueError(f"agreement: two independent draws of one choice agree in 0.5 to 1 of cases, got {agreement}")
    return agreement, (1 + math.sqrt(2 * agreement - 1)) / 2


def flips(agreement: float) -> float:
    """The share ε of labels that are flipped if all are equally likely to be: A = (1 − ε)² + ε², ε ≤ ½."""
    return 1 - label_ceiling(agreement)[1]


def add_noise(accuracy: float, flipped: float) -> float:
    """The accuracy against labels of which a share is flipped, whatever they are: a(1 − 2ε) + ε."""
    return accuracy * (1 - 2 * flipped) + flipped


def undo_noise(accuracy: float, flipped: float) -> float:
    """The accuracy against labels without noise, (a − ε) / (1 − 2ε), kept within 0 and 1. `ValueError` for ε = ½."""
    if not 0 <= flipped < 0.5:
        raise ValueError(f"flipped: a share from 0 to below 0.5 can be undone, got {flipped}")
    return min(max((accuracy - flipped) / (1 - 2 * flipped), 0.0), 1.0)
