"""The win rate at equal lengths, against answers that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trueward.evaluation.length_control import FEWEST, RIDGE, length_controlled


def sigmoid(x: np.ndarray | float) -> np.ndarray:
    return 1 / (1 + np.exp(-np.asarray(x, dtype=np.float64)))


def test_probabilities_on_the_curve_are_found_again() -> None:
    """Wins that are σ(a + b·gap) themselves solve the likelihood's equations, so the fit returns a and b."""
    gaps = np.linspace(-40, 60, 4000)
    spread = math.sqrt((gaps**2).mean())
    for a, b in ((0.0, 1.5), (0.7, -0.8), (-1.2, 0.0)):
        found = length_controlled(sigmoid(a + b * gaps / spread), gaps)
        assert found.rate == pytest.approx(float(sigmoid(a)), abs=1e-4)
        assert found.slope == pytest.approx(b, abs=1e-3)


def test_without_gaps_it_is_the_win_rate() -> None:
    wins = np.array([1.0] * 30 + [0.5] * 10 + [0.0] * 20)
    found = length_controlled(wins, np.zeros(60))
    assert found.rate == pytest.approx(wins.mean(), abs=1e-3)
    assert found.se == pytest.approx(math.sqrt(wins.var() / 58), rel=0.01)


def test_it_agrees_with_a_fit_by_scipy() -> None:
    from scipy import optimize

    draw = np.random.default_rng(3)
    gaps = draw.normal(5, 20, 300)
    wins = (draw.random(300) < sigmoid(0.3 + gaps / 15)).astype(float)
    x = gaps / math.sqrt((gaps**2).mean())

    def loss(beta: np.ndarray) -> float:
        eta = beta[0] + beta[1] * x
        return float((np.logaddexp(0, eta) - wins * eta).sum() + RIDGE / 2 * (beta**2).sum())

    best = optimize.minimize(loss, np.zeros(2), tol=1e-12).x
    found = length_controlled(wins, gaps)
    assert found.rate == pytest.approx(float(sigmoid(best[0])), abs=1e-5)
    assert found.slope == pytest.approx(best[1], abs=1e-4)


def test_a_judge_of_length_alone_wins_nothing() -> None:
    """Longer answers, and a judge that likes them: the raw rate is high, the controlled one covers one half."""
    covered, raw = [], []
    for seed in range(200):
        draw = np.random.default_rng(seed)
        gaps = draw.normal(15, 20, 200)
        wins = (draw.random(200) < sigmoid(gaps / 12)).astype(float)
        found = length_controlled(wins, gaps)
        covered.append(abs(found.rate - 0.5) <= 1.96 * found.se)
        raw.append(wins.mean())
    assert np.mean(raw) > 0.68
    assert 0.90 < np.mean(covered) < 0.99  # 0.95 by 200 draws has an SD of 0.015


def test_what_can_not_be_fitted_ends() -> None:
    n = 40
    for wins in (np.ones(n), np.zeros(n), (np.arange(n) > 20).astype(float)):
        found = length_controlled(wins, np.arange(n) - 20.5)
        assert 0 <= found.rate <= 1
        assert math.isfinite(found.se)
    assert math.isnan(length_controlled(np.ones(FEWEST - 1), np.ones(FEWEST - 1)).rate)
