from __future__ import annotations

import numpy as np
import pytest

from trueward.evaluation.outliers import HomeRegion, fit_home, ledoit_wolf


def states(draw: np.random.Generator, n: int, d: int) -> np.ndarray:
    """Gaussian, with a covariance of few large directions, as hidden states have."""
    return (
        draw.normal(size=(n, d))
        * np.linspace(3.0, 0.1, d)
        @ np.linalg.qr(np.random.default_rng(0).normal(size=(d, d)))[0]
    )


def test_one_in_a_hundred_fresh_states_is_outside() -> None:
    shares = []
    for seed in range(12):
        draw = np.random.default_rng(seed)
        home = fit_home(states(draw, 768, 64))
        shares.append(home.outside(states(draw, 5000, 64)).mean())
    error = np.std(shares, ddof=1) / np.sqrt(len(shares))
    assert abs(np.mean(shares) - 0.01) <= 4.5 * error
    assert error < 0.002


def test_the_quantile_of_the_states_that_it_was_fitted_to_would_be_far_too_near() -> None:
    """At n = 2,000 and d = 256, with the sample covariance as it is, more than a quarter of fresh states are outside."""
    draw = np.random.default_rng(1)
    fitted, fresh = draw.normal(size=(2000, 256)), draw.normal(size=(2000, 256))
    own = HomeRegion(fitted.mean(0), np.linalg.inv(np.cov(fitted.T)), np.inf)
    near = HomeRegion(own.mean, own.precision, float(np.quantile(own.distance(fitted), 0.99)))
    assert 0.22 < near.outside(fresh).mean() < 0.34
    assert fit_home(np.concatenate([fitted, draw.normal(size=(2000, 256))])).outside(fresh).mean() < 0.025


def test_shifted_states_are_found() -> None:
    draw = np.random.default_rng(2)
    home = fit_home(states(draw, 768, 64))
    assert home.outside(states(draw, 1000, 64) + 2.0).mean() > 0.9
    some = np.concatenate([states(draw, 500, 64), states(draw, 500, 64) + 2.0])
    assert home.outside(some).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize(("n", "d"), [(10, 30), (200, 12), (50, 1)])
def test_the_covariance_is_ledoit_and_wolfs(n: int, d: int) -> None:
    """As their section 3.3 defines it, with a matrix for every row."""
    x = states(np.random.default_rng(n), n, d) + 5.0
    rows = x - x.mean(0)
    matrices = [np.outer(row, row) for row in rows]
    sample = sum(matrices) / n
    target = np.eye(d) * sample.trace() / d
    away = np.sum((sample - target) ** 2)
    noise = min(sum(np.sum((m - sample) ** 2) for m in matrices) / n**2, away)
    share = noise / away if away > 1e-12 else 0.0
    np.testing.assert_allclose(ledoit_wolf(x), share * target + (1 - share) * sample, rtol=1e-9, atol=1e-12)
    assert np.linalg.eigvalsh(ledoit_wolf(x)).min() > 0, "it can be inverted, however few rows there are"


def test_one_number_is_a_state_too() -> None:
    draw = np.random.default_rng(3)
    home = fit_home(draw.normal(size=(400, 1)))
    assert home.threshold == pytest.approx(2.576**2, rel=0.3)
    assert home.outside(np.array([[5.0], [-5.0], [0.0]])).tolist() == [True, True, False]


def test_states_that_never_vary_are_no_outliers() -> None:
    home = fit_home(np.ones((50, 3)))
    assert not home.outside(np.ones((5, 3))).any()
