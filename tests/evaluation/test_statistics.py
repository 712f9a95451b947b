"""Errors and intervals against cases that are known."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

from trueward.evaluation.statistics import bootstrap, standard_error, student_quantile, wilson


def test_standard_error() -> None:
    assert standard_error(np.array([1.0, 2.0, 3.0, 4.0])) == pytest.approx(math.sqrt(5 / 3) / 2)
    assert math.isnan(standard_error(np.array([1.0])))


@pytest.mark.parametrize(
    ("wins", "n", "low", "high"),
    [  # Newcombe 1998, table I: the score method without continuity correction
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_as_printed(wins: int, n: int, low: float, high: float) -> None:
    assert wilson(wins, n) == pytest.approx((low, high), abs=5e-5)


def test_wilson_solves_its_own_equation() -> None:
    """Its ends are the shares that lie exactly 1.96 of their own standard errors from what was seen."""
    for end in wilson(30, 80):
        assert abs(30 / 80 - end) / math.sqrt(end * (1 - end) / 80) == pytest.approx(1.959964)
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize("level", [0.6, 0.95, 0.975, 0.999])
def test_students_quantile_in_closed_form(level: float) -> None:
    """One degree of freedom: tan π(p − ½). Two: (2p − 1)/√(2p(1 − p))."""
    assert student_quantile(level, 1) == pytest.approx(math.tan(math.pi * (level - 0.5)), rel=1e-12)
    assert student_quantile(level, 2) == pytest.approx((2 * level - 1) / math.sqrt(2 * level * (1 - level)), rel=1e-12)
    assert student_quantile(0.975, 10**9) == pytest.approx(1.959963985, abs=1e-8)


@pytest.mark.parametrize("freedom", [1, 2, 5, 9, 10, 12, 30, 1000])
def test_students_quantile(freedom: int) -> None:
    """The integral of the density up to it, by Simpson's rule, is 97.5 %."""
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(freedom * math.pi)
    steps, top = 20_000, student_quantile(0.975, freedom)
    height = [scale * (1 + (top * i / steps) ** 2 / freedom) ** (-(freedom + 1) / 2) for i in range(steps + 1)]
    area = top / steps / 3 * (height[0] + height[-1] + 4 * sum(height[1:-1:2]) + 2 * sum(height[2:-1:2]))
    assert 0.5 + area == pytest.approx(0.975, abs=1e-10)


def test_bootstrap_of_a_normal_mean_is_the_textbook_interval() -> None:
    x = np.random.default_rng(1).normal(5, 2, 400)
    low, high = bootstrap(x, seed=0, draws=8000)
    half = 1.96 * standard_error(x)
    assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.06 * half)


def test_bootstrap_by_hand() -> None:
    """Efron's recipe step by step on the same resamples: z₀ from the share of means below, a = Σd³/6(Σd²)^1.5, quantiles."""
    x = np.random.default_rng(4).exponential(size=40)
    means = x[np.random.default_rng(7).integers(0, 40, (2000, 40))].mean(axis=1)
    off, normal = x - x.mean(), NormalDist()
    bias = normal.inv_cdf(float((means < x.mean()).mean()))
    skew = float((off**3).sum() / (6 * (off**2).sum() ** 1.5))
    levels = [normal.cdf(bias + (bias + z) / (1 - skew * (bias + z))) for z in (-1.959963985, 1.959963985)]
    assert bootstrap(x, seed=7) == pytest.approx(np.quantile(means, levels), rel=1e-9)


def test_bootstrap_leans_where_the_data_are_skewed() -> None:
    """Of 25 exponentials the exact interval of the mean (chi-square with 50 degrees of freedom) leans upward."""
    x = -np.log(1 - (np.arange(25) + 0.5) / 25)
    low, high = bootstrap(x, seed=0, draws=8000)
    assert high - x.mean() > 1.2 * (x.mean() - low)


def test_bootstrap_covers_as_often_as_it_says() -> None:
    draw = np.random.default_rng(2)
    runs = 600
    hit = 0
    for run in range(runs):
        low, high = bootstrap(draw.exponential(size=60), seed=run, draws=600)
        hit += low <= 1.0 <= high
    assert abs(hit / runs - 0.94) <= 3 * math.sqrt(0.94 * 0.06 / runs)  # BCa at n = 60: 93 to 95 %


def test_bootstrap_is_a_function_of_its_seed() -> None:
    x = np.arange(30.0) ** 2
    assert bootstrap(x, seed=3) == bootstrap(x, seed=3) != bootstrap(x, seed=4)
    assert bootstrap(np.ones(4), seed=0) == (1.0, 1.0)
    tenths = np.full(7, 0.1)  # their mean is another number, 1e-17 away
    assert bootstrap(tenths, seed=0) == (tenths.mean(), tenths.mean())
    assert bootstrap(np.array([2.0]), seed=0) == (2.0, 2.0)
