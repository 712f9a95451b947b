from __future__ import annotations

import math

import numpy as np
import pytest

from trueward.evaluation.noise import label_ceiling, sharpness, with_noise, without_noise
from trueward.evaluation.order_statistics import expected_maximum, promised_truth
from trueward.scorers.simulated import sigmoid, temperature_for

CORRELATIONS = (0.3, 0.5, 0.7, 0.85)
PAIRS = 1_000_000


def clicked(correlation: float, temperature: float) -> float:
    """The accuracy of a proxy on the choices of Bradley–Terry annotators; gaps are in SDs."""
    draw = np.random.default_rng(int(100 * correlation))
    gap, other = draw.standard_normal((2, PAIRS))
    margin = correlation * gap + math.sqrt(1 - correlation**2) * other
    chosen = draw.random(PAIRS) < sigmoid(gap / temperature)
    return float((chosen == (margin > 0)).mean())


@pytest.mark.parametrize("agreement", [0.6, 0.73, 0.9])
@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_the_promise_of_the_best_of_16_is_kept(correlation: float, agreement: float) -> None:
    """Within 8 % of what a proxy of this correlation gains. Undone as symmetric flips: up to 18 % too much at 73 %."""
    seen = clicked(correlation, 1 / sharpness(agreement))
    clean = without_noise(seen, agreement)
    assert clean is not None
    assert promised_truth(clean, 16) == pytest.approx(correlation * expected_maximum(16), rel=0.08)
    wrong = 1 - label_ceiling(agreement)[1]
    if agreement == 0.73 and correlation <= 0.7:
        assert promised_truth((seen - wrong) / (1 - 2 * wrong), 16) > 1.09 * correlation * expected_maximum(16)


@pytest.mark.parametrize("agreement", [0.55, 0.73, 0.95])
def test_noise_is_undone(agreement: float) -> None:
    for accuracy in (0.1, 0.5, 0.6, 0.9, 1.0):
        assert without_noise(with_noise(accuracy, agreement), agreement) == pytest.approx(accuracy, abs=1e-6)
    assert with_noise(0.5, agreement) == pytest.approx(0.5)
    assert without_noise(0.99, agreement) == 1.0  # luck on few comparisons
    assert without_noise(0.01, agreement) == 0.0


def test_annotators_agree_as_often_as_that_sharpness_makes_them() -> None:
    gap = np.random.default_rng(0).standard_normal(400_000)
    for agreement in (0.6, 0.73, 0.9):
        p = sigmoid(gap * sharpness(agreement))
        assert float((p**2 + (1 - p) ** 2).mean()) == pytest.approx(agreement, abs=0.002)
    assert math.isinf(sharpness(1.0))
    assert with_noise(0.7, 1.0) == 0.7
    assert without_noise(0.7, 1.0) == pytest.approx(0.7)


def test_noise_that_can_not_be_undone() -> None:
    assert without_noise(0.6, 0.5) is None
    for agreement in (0.49, 1.01, math.nan):
        with pytest.raises(ValueError, match=r"agree in 0\.5 to 1"):
            label_ceiling(agreement)


def test_73_percent_agreement_bounds_the_ceiling() -> None:
    low, high = label_ceiling(0.73)
    assert (round(low, 2), round(high, 2)) == (0.73, 0.84)
    epsilon = 1 - high
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
    assert with_noise(1.0, 0.73) == pytest.approx(ceiling, abs=0.002)
    assert label_ceiling(0.73)[0] < ceiling < label_ceiling(0.73)[1]
