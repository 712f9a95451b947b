"""Best of n from N answers: against all subsets, against quadrature by other means, against simulated normal scores."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest

from trueward.evaluation.order_statistics import (
    best_of_n_curve,
    best_of_n_mean,
    best_of_n_weights,
    expected_maximum,
    promised_truth,
    sizes,
)


def by_subsets(order: list[float], values: list[float], n: int) -> Fraction:
    """The mean over all subsets of n of the value of the best by `order`; those that tie share it evenly."""
    total, count = Fraction(0), 0
    for subset in combinations(range(len(order)), n):
        top = max(order[i] for i in subset)
        tied = [Fraction(values[i]) for i in subset if order[i] == top]
        total += sum(tied) / len(tied)
        count += 1
    return total / count


@pytest.mark.parametrize("ties", [False, True])
def test_it_is_the_mean_over_all_subsets(ties: bool) -> None:
    draw = np.random.default_rng(3)
    for count in (1, 2, 5, 9):
        order = draw.integers(0, 3, (4, count)).astype(float) if ties else draw.normal(size=(4, count))
        order[0, 0] = -np.inf  # an answer without a score
        values = draw.normal(size=(4, count))
        for n in range(1, count + 1):
            exact = [float(by_subsets(o, v, n)) for o, v in zip(order.tolist(), values.tolist(), strict=True)]
            np.testing.assert_allclose(best_of_n_mean(order, values, n), exact, rtol=0, atol=1e-12)


def test_the_order_of_answers_does_not_matter_where_scores_tie() -> None:
    order, values = np.array([[1.0, 2.0, 2.0, 0.0]]), np.array([[9.0, 1.0, 5.0, 7.0]])
    there = best_of_n_mean(order, values, 2)
    assert there == pytest.approx(best_of_n_mean(order[:, ::-1], values[:, ::-1], 2), abs=1e-15)
    assert best_of_n_mean(order, values, 4) == pytest.approx(3.0, abs=1e-15)  # the two that tie, half each
    assert best_of_n_mean(np.zeros((1, 4)), values, 3) == pytest.approx(values.mean(), abs=1e-15)


def test_weights_of_many_answers_are_exact() -> None:
    count, n = 4096, 1024
    weights = best_of_n_weights(count, n)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert (weights >= 0).all()
    assert (weights[: n - 1] == 0).all()
    whole = math.comb(count, n)
    for i in (n, n + 1, 2000, 3000, 4000, 4095, 4096):  # in whole numbers, whatever their size
        exact = float(Fraction(math.comb(i - 1, n - 1), whole))
        assert weights[i - 1] == pytest.approx(exact, rel=1e-11, abs=1e-300), i
    # ranks as values: E[the best rank of n without putting back] = n(N + 1)/(n + 1)
    ranks = np.arange(1.0, count + 1)
    assert float(weights @ ranks) == pytest.approx(n * (count + 1) / (n + 1), rel=1e-12)


def test_one_answer_is_the_mean_and_all_of_them_the_best() -> None:
    draw = np.random.default_rng(0)
    order, values = draw.normal(size=(7, 12)), draw.normal(size=(7, 12))
    rows = best_of_n_curve(order, {"truth": values, "proxy": order})
    assert [row["n"] for row in rows] == [1, 2, 4, 8, 12]
    assert rows[0]["truth"] == pytest.approx(values.mean(), abs=1e-12)
    assert rows[-1]["proxy"] == pytest.approx(order.max(1).mean(), abs=1e-12)
    assert rows[-1]["proxy_se"] == pytest.approx(order.max(1).std(ddof=1) / math.sqrt(7), abs=1e-12)
    assert rows[0]["truth_se"] == pytest.approx(values.mean(1).std(ddof=1) / math.sqrt(7), abs=1e-12)  # by prompt
    proxies = [row["proxy"] for row in rows]
    assert proxies == sorted(proxies)


def test_one_prompt_has_no_error() -> None:
    (row,) = best_of_n_curve(np.array([[1.0]]), {"proxy": np.array([[2.0]])})
    assert row["proxy"] == 2.0
    assert math.isnan(row["proxy_se"])


@pytest.mark.parametrize(("n", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])])
def test_sizes_double_up_to_n(n: int, expected: list[int]) -> None:
    assert sizes(n) == expected


def test_the_mean_of_the_largest_normal_number() -> None:
    # closed forms up to three, and the tables' values beyond (e.g. Teichroew 1956)
    assert expected_maximum(1) == pytest.approx(0, abs=1e-12)
    assert expected_maximum(2) == pytest.approx(1 / math.sqrt(math.pi), abs=1e-9)
    assert expected_maximum(3) == pytest.approx(1.5 / math.sqrt(math.pi), abs=1e-9)
    for n, known in ((4, 1.02938), (16, 1.76599), (64, 2.3437), (256, 2.8266)):
        assert expected_maximum(n) == pytest.approx(known, abs=1e-3)
    assert expected_maximum(1_000_000) == pytest.approx(4.8636, abs=1e-3)


@pytest.mark.parametrize(("n", "known"), [(4, 1.029), (16, 1.766), (64, 2.344), (256, 2.827)])
def test_a_normal_proxy_follows_the_order_statistics(n: int, known: float) -> None:
    """By the estimator, from 1,024 answers to each of 200 prompts; each within 5 %, and within 4.5 standard errors."""
    draw = np.random.default_rng(16)
    proxy = draw.normal(size=(200, 1024))
    each = best_of_n_mean(proxy, proxy, n)
    assert each.mean() == pytest.approx(known, rel=0.05)
    assert abs(each.mean() - expected_maximum(n)) <= 4.5 * each.std(ddof=1) / math.sqrt(len(each))


def test_skew_moves_it() -> None:
    """A skew of ½ adds about a tenth at n = 16: the numbers above are those of normal scores, and of no others."""
    draw = np.random.default_rng(5)
    shape = (2 / 0.5) ** 2  # of a gamma variable
    proxy = (draw.gamma(shape, size=(400, 1024)) - shape) / math.sqrt(shape)
    assert best_of_n_mean(proxy, proxy, 16).mean() / expected_maximum(16) == pytest.approx(1.11, abs=0.02)


@pytest.mark.parametrize("correlation", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("n", [2, 4, 16])
def test_accuracy_promises_the_truth_of_best_of_n(n: int, correlation: float) -> None:
    draw = np.random.default_rng(17)
    truth = draw.normal(size=(4000, 64))
    proxy = correlation * truth + math.sqrt(1 - correlation**2) * draw.normal(size=truth.shape)
    right = np.sign(proxy[:, ::2] - proxy[:, 1::2]) == np.sign(truth[:, ::2] - truth[:, 1::2])
    each = best_of_n_mean(proxy, truth, n)
    assert each.mean() == pytest.approx(promised_truth(float(right.mean()), n), rel=0.08)
    # and exactly: the accuracy of two jointly normal scores is ½ + asin(correlation)/π
    exact = promised_truth(0.5 + math.asin(correlation) / math.pi, n)
    assert exact == pytest.approx(correlation * expected_maximum(n), rel=1e-9)
    assert abs(each.mean() - exact) <= 4.5 * each.std(ddof=1) / math.sqrt(len(each))
