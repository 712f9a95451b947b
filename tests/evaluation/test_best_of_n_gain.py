from __future__ import annotations

import math

import numpy as np
import pytest

from trueward.evaluation import best_of_n_gain


@pytest.mark.parametrize(("n", "mean"), [(1, 0.0), (2, 1 / math.sqrt(math.pi)), (4, 1.029), (16, 1.766), (64, 2.344)])
def test_the_largest_of_n(n: int, mean: float) -> None:
    """Known values of the normal distribution's order statistics."""
    assert best_of_n_gain.largest_of(n) == pytest.approx(mean, abs=6e-4)


@pytest.mark.parametrize("correlation", [0.2, 0.6, 0.9])
@pytest.mark.parametrize("n", [2, 8, 16])
def test_accuracy_promises_the_gain_of_gaussian_scores(correlation: float, n: int) -> None:
    draw = np.random.default_rng(0)
    truth = draw.normal(size=(40_000, n))
    proxy = correlation * truth + math.sqrt(1 - correlation**2) * draw.normal(size=truth.shape)
    accuracy = float(((truth[:, 0] > truth[:, 1]) == (proxy[:, 0] > proxy[:, 1])).mean())
    gains = np.take_along_axis(truth, proxy.argmax(1)[:, None], 1)[:, 0]
    error = gains.std() / math.sqrt(len(gains))
    # and the accuracy's own error, times the slope of the formula
    error += math.pi * best_of_n_gain.largest_of(n) * math.sqrt(accuracy * (1 - accuracy) / len(truth))
    assert abs(gains.mean() - best_of_n_gain.best_of_n_gain(accuracy, n)) <= 4.5 * error


def test_noise_is_undone() -> None:
    """Labels flipped in one of four: two agree in .75² + .25² = .625, and a model that is right in .8 scores .65."""
    assert best_of_n_gain.flips(0.625) == pytest.approx(0.25)
    assert best_of_n_gain.without_noise(0.8 * 0.75 + 0.2 * 0.25, 0.625) == pytest.approx(0.8)
    assert best_of_n_gain.without_noise(0.99, 0.625) == 1.0
    assert best_of_n_gain.without_noise(0.6, 0.5) is None
    assert best_of_n_gain.ceiling(0.625) == pytest.approx((0.625, 0.75))
    assert best_of_n_gain.ceiling(0.73)[1] == pytest.approx(0.839, abs=1e-3)
