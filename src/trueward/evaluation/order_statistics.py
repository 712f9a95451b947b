"""Best of n from N ≥ n sampled answers: unbiased estimates, and what normally distributed scores would give."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from trueward.evaluation.statistics import standard_error


def best_of_n_weights(count: int, n: int) -> np.ndarray:
    """Weights [count] of the answers from the worst to the best: C(i − 1, n − 1) / C(count, n) for the i-th.

    The share of all subsets of n answers whose best is the i-th; they sum to 1. Computed from the best downward by the
    ratio (i − n) / (i − 1), without large binomials.
    """
    assert 1 <= n <= count
    i = np.arange(count, 1, -1, dtype=np.float64)
    falling = np.cumprod(np.maximum(i - n, 0.0) / (i - 1))
    return n / count * np.concatenate([[1.0], falling])[::-1]


def best_of_n_mean(order: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """By prompt [prompts], the mean of `values` of the best of n by `order`, over all subsets of n of the answers.

    order, values: [prompts, answers]. Where `order` ties, the winner is drawn evenly from those that tie, so they share
    their weights. Unbiased for any number of answers ≥ n (Nakano et al. 2021, arXiv 2112.09332).
    """
    assert order.shape == values.shape
    assert order.ndim == 2
    weights = best_of_n_weights(order.shape[1], n)
    means = np.empty(len(order))
    for row, (by, value) in enumerate(zip(order, values, strict=True)):
        _, block, size = np.unique(by, return_inverse=True, return_counts=True)
        shared = np.add.reduceat(weights, np.concatenate([[0], np.cumsum(size)[:-1]])) / size
        means[row] = shared[block.reshape(-1)] @ value
    return means


def sizes(n: int) -> list[int]:
    """1, 2, 4, … up to n, and n itself."""
    return sorted({2**k for k in range(n.bit_length()) if 2**k <= n} | {n})


def best_of_n_curve(order: np.ndarray, values: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Rows over n = 1, 2, 4, … up to the answers of a prompt: the mean of each value and its standard error over prompts.

    order and every value: [prompts, answers]. All rows are estimated from the same answers, so their errors are correlated.
    """
    rows = []
    for n in sizes(order.shape[1]):
        row: dict[str, Any] = {"n": n}
        for name, value in values.items():
            each = best_of_n_mean(order, value, n)
            row |= {name: float(each.mean()), f"{name}_se": standard_error(each)}
        rows.append(row)
    return rows


@cache
def expected_maximum(n: int) -> float:
    """E[max of n standard normal draws] = ∫ x n φ(x) Φ(x)^(n − 1) dx, to 1e-9 for n up to a million. In SDs."""
    assert n >= 1
    x = np.linspace(-12.0, 12.0, 24_001)  # all terms vanish at the ends, so the trapezium rule converges very fast
    below = np.array([0.5 * math.erfc(-v / math.sqrt(2)) for v in x])
    density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
    return float(np.sum(x * n * density * below ** (n - 1)) * (x[1] - x[0]))


def promised_truth(accuracy: float, n: int) -> float:
    """The predicted gain in truth of best-of-n by a proxy of this accuracy, SDs: sin(π(accuracy − ½))·E[max_n].

    For a proxy and a truth that are jointly normal within a prompt: sin(π(accuracy − ½)) is then their correlation.
    accuracy: against the truth's own order of two answers, without the annotators' noise.
    """
    return math.sin(math.pi * (accuracy - 0.5)) * expected_maximum(n)
