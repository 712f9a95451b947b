from __future__ import annotations

import math

import numpy as np
import pytest

from trueward.evaluation.noise import add_noise, flips, label_ceiling, undo_noise
from trueward.scorers.simulated import sigmoid, temperature_for


def test_flipped_labels_lower_an_accuracy_as_counted() -> None:
    draw = np.random.default_rng(18)
    right, flipped = draw.random(200_000) < 0.9, draw.random(200_000) < 0.15
    seen = float((right != flipped).mean())
    error = math.sqrt(seen * (1 - seen) / 200_000)
    assert abs(add_noise(0.9, 0.15) - seen) <= 4.5 * error
    assert add_noise(0.9, 0.15) == pytest.approx(0.9 * 0.7 + 0.15)


@pytest.mark.parametrize("flipped", [0.0, 0.1, 0.161, 0.45])
def test_noise_is_undone(flipped: float) -> None:
    for accuracy in (0.5, 0.7, 1.0):
        assert undo_noise(add_noise(accuracy, flipped), flipped) == pytest.approx(accuracy, abs=1e-12)
    assert undo_noise(0.99, 0.161) == 1.0  # luck on few comparisons


def test_noise_that_can_not_be_undone_is_refused() -> None:
    for flipped in (0.5, -0.1, math.nan):
        with pytest.raises(ValueError, match=r"a share from 0 to below 0\.5"):
            undo_noise(0.7, flipped)
    for agreement in (0.49, 1.01, math.nan):
        with pytest.raises(ValueError, match=r"agree in 0\.5 to 1"):
            label_ceiling(agreement)


def test_73_percent_agreement_bounds_the_ceiling() -> None:
    low, high = label_ceiling(0.73)
    assert (round(low, 2), round(high, 2)) == (0.73, 0.84)
    assert flips(0.73) == pytest.approx(0.161, abs=0.001)
    epsilon = flips(0.73)
    assert (1 - epsilon) ** 2 + epsilon**2 == pytest.approx(0.73, abs=1e-12)
    assert label_ceiling(0.5) == (0.5, 0.5)
    assert label_ceiling(1.0) == (1.0, 1.0)


def test_both_bounds_are_reached() -> None:
    """Sure or a coin: the lower one. All equally sure: the upper one."""
    for p in (np.array([1.0] * 46 + [0.5] * 54), np.full(10, 0.5 + math.sqrt(0.46) / 2)):
        agreement, ceiling = (p**2 + (1 - p) ** 2).mean(), np.maximum(p, 1 - p).mean()
        assert agreement == pytest.approx(0.73, abs=1e-12)
        assert min(abs(ceiling - bound) for bound in label_ceiling(agreement)) < 1e-12


def test_normal_margins_lie_between() -> None:
    """Bradley–Terry on normal margins, at the temperature where two agree in 73 %: .805."""
    margins = np.array([math.sqrt(2) * x for x in np.linspace(-6, 6, 4001)])
    weights = np.exp(-(margins**2) / 4)
    repeated = np.repeat(margins, np.round(1000 * weights).astype(int))
    p = sigmoid(repeated / temperature_for(0.73, repeated))
    ceiling = float(np.maximum(p, 1 - p).mean())
    assert ceiling == pytest.approx(0.805, abs=0.002)
    assert label_ceiling(0.73)[0] < ceiling < label_ceiling(0.73)[1]
