from __future__ import annotations

import math

import numpy as np
import pytest

from trueward.evaluation import calibration as c


def drawn(seed: int, n: int, scale: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    """Margins, and labels drawn with the probabilities that they mean."""
    draw = np.random.default_rng(seed)
    margin = draw.normal(0, scale, n)
    return margin, (draw.random(n) < c.sigmoid(margin)).astype(float)


def test_a_comparison_is_seen_from_the_side_that_the_model_prefers() -> None:
    confidence, won = c.folded(np.array([2.0, -2.0, 0.0, -1.0]), np.array([1.0, 1.0, 0.0, 0.5]))
    assert confidence == pytest.approx([0.880797, 0.880797, 0.5, 0.731059], abs=1e-6)
    assert won.tolist() == [1.0, 0.0, 0.0, 0.5]


def test_the_error_by_hand() -> None:
    """Two bins of two: confidence .5 and all won, ½ off; confidence .880797 and one of two won, .380797 off."""
    margin, label = np.array([0.0, 0.0, 2.0, -2.0]), np.array([1.0, 1.0, 1.0, 1.0])
    assert c.expected_error(margin, label, bins=2) == pytest.approx((0.5 + 0.380797) / 2, abs=1e-6)
    first, second = c.reliability(margin, label, bins=2)
    assert (first.won, first.count, second.won, second.count) == (1.0, 2, 0.5, 2)
    assert first.error > 0


def test_a_calibrated_model_is_at_its_floor() -> None:
    """The floor is a mean over draws, so the mean error of calibrated samples is that."""
    errors, floors = [], []
    for seed in range(60):
        margin, label = drawn(seed, 400)
        errors.append(c.expected_error(margin, label))
        floors.append(c.error_floor(margin, draws=200)[0])
    gap = np.array(errors) - floors
    assert abs(gap.mean()) <= 4.5 * gap.std(ddof=1) / math.sqrt(len(gap))
    assert 0.04 < np.mean(floors) < 0.08, "far from zero, though the model is perfect"
    assert c.error_floor(drawn(0, 40_000)[0], draws=50)[0] < 0.008, "and it falls with the number of comparisons"


def test_an_overconfident_model_is_above_its_floor() -> None:
    margin, label = drawn(1, 2000)
    error, (_, most) = c.expected_error(4 * margin, label), c.error_floor(4 * margin)
    assert error > 2 * most
    assert c.error_floor(margin) == c.error_floor(margin), "a fixed seed"


@pytest.mark.parametrize(("factor", "slope"), [(1.0, 1.0), (2.0, 0.5), (0.5, 2.0)])
def test_the_slope_undoes_a_factor(factor: float, slope: float) -> None:
    """1 on calibrated margins; margins twice too large are halved, and halved ones doubled."""
    margin, label = drawn(2, 20_000)
    fit = c.fitted_slope(factor * margin, label)
    assert fit is not None
    error = (fit.high - fit.low) / 3.92
    assert abs(fit.slope - slope) <= 4.5 * error
    assert error < 0.05 * slope


def test_the_slope_covers_the_truth() -> None:
    """95 % intervals: 200 samples of 200 comparisons, ties among them as half of both."""
    hits = 0
    for seed in range(200):
        margin, label = drawn(seed, 200)
        fit = c.fitted_slope(margin, label)
        assert fit is not None
        hits += fit.low < 1 < fit.high
    assert abs(hits / 200 - 0.95) <= 4.5 * math.sqrt(0.95 * 0.05 / 200)
    assert hits < 200


def test_the_slope_is_where_the_loss_is_least() -> None:
    margin, label = drawn(3, 500)
    label[:50] = 0.5
    fit = c.fitted_slope(margin, label)
    assert fit is not None
    losses = [c.loss(s * margin, label) for s in np.linspace(0.1, 3, 2901)]
    assert fit.slope == pytest.approx(0.1 + 0.001 * int(np.argmin(losses)), abs=0.001)


@pytest.mark.parametrize("label", [[1.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.5]])
def test_no_slope_is_best_where_margins_separate(label: list[float]) -> None:
    fit = c.fitted_slope(np.array([1.0, 2.0, -1.0]), np.array(label))
    assert fit is None or abs(fit.slope) < 1e-9


def test_losses_by_hand() -> None:
    assert c.loss(np.zeros(3), np.array([0.0, 0.5, 1.0])) == pytest.approx(math.log(2))
    assert c.loss(np.array([2.0]), np.array([1.0])) == pytest.approx(0.126928, abs=1e-6)
    assert c.entropy(np.array([0.5, 1.0, 0.0])) == pytest.approx(math.log(2) / 3)
    assert c.entropy(np.array([0.25])) == pytest.approx(0.562335, abs=1e-6)
    margin, label = drawn(4, 50_000)
    assert c.loss(margin, label) == pytest.approx(c.entropy(c.sigmoid(margin)), abs=0.01)
