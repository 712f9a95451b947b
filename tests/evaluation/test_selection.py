"""Which pairs to ask about: D-optimal choices by determinants, and how many labels they save in a linear world."""

from __future__ import annotations

import numpy as np
import pytest

from trueward.evaluation import selection


def information(x: np.ndarray, margins: np.ndarray, chosen: list[int]) -> float:
    """log det of I + Σ p(1 − p) x xᵀ, with x scaled as the function scales it."""
    x = x / np.sqrt(np.mean(x**2))
    p = 1 / (1 + np.exp(-margins))
    h = np.eye(x.shape[1])
    for i in chosen:
        h += p[i] * (1 - p[i]) * np.outer(x[i], x[i])
    return float(np.linalg.slogdet(h)[1])


def test_each_choice_is_the_one_that_adds_most_information() -> None:
    draw = np.random.default_rng(3)
    x, margins = draw.normal(size=(40, 5)), draw.normal(size=40)
    chosen = selection.d_optimal(x, margins, 12)
    assert len(set(chosen)) == 12
    for k in range(12):
        gains = {i: information(x, margins, [*chosen[:k], i]) for i in range(40) if i not in chosen[:k]}
        assert max(gains.values()) == pytest.approx(gains[chosen[k]], rel=1e-9)


def test_a_pair_that_is_already_decided_tells_little() -> None:
    x = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.9]])
    assert selection.d_optimal(x, np.array([8.0, 0.0, 0.0]), 2) == [1, 2]


def test_half_the_labels_of_random_do_in_a_linear_world() -> None:
    """After 60 random labels, 100 D-optimal ones leave fewer wrong choices on fresh pairs than 200 random ones.

    Bradley–Terry with a linear utility, on features whose sizes and directions differ as hidden states' do; 12 worlds.
    """
    wrong: dict[str, list[float]] = {"d-optimal": [], "as many": [], "twice": []}
    for world in range(12):
        draw = np.random.default_rng(world)
        x, fresh = spread_out(draw, 2000), spread_out(draw, 4000)
        w = draw.normal(size=x.shape[1])
        w *= 1.5 / np.std(x @ w)
        labels = draw.random(len(x)) < 1 / (1 + np.exp(-x @ w))
        order = draw.permutation(len(x))
        first, rest = order[:60], order[60:]
        before = fit(x[first], labels[first])
        picked = {
            "d-optimal": rest[selection.d_optimal(x[rest], x[rest] @ before, 100)],
            "as many": rest[:100],
            "twice": rest[:200],
        }
        for name, more in picked.items():
            rows = np.concatenate([first, more])
            guessed = fresh @ fit(x[rows], labels[rows])
            wrong[name].append(float(np.mean(np.sign(guessed) != np.sign(fresh @ w))))
    assert np.mean(wrong["d-optimal"]) < np.mean(wrong["twice"]) < np.mean(wrong["as many"])
    assert sum(a < b for a, b in zip(wrong["d-optimal"], wrong["as many"], strict=True)) >= 11


def spread_out(draw: np.random.Generator, n: int, d: int = 12) -> np.ndarray:
    """Features with a spectrum from 1 to .1, and rows of different size."""
    return draw.normal(size=(n, d)) * np.exp(draw.normal(0, 0.6, size=(n, 1))) * np.geomspace(1, 0.1, d)


def fit(x: np.ndarray, y: np.ndarray, ridge: float = 1.0) -> np.ndarray:
    """Logistic regression's weights."""
    w = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        h = ridge * np.eye(len(w)) + (x * (p * (1 - p))[:, None]).T @ x
        w += np.linalg.solve(h, x.T @ (y - p) - ridge * w)
    return w


@pytest.mark.parametrize("strategy", ["random", "d-optimal", "gap"])
def test_a_fifth_is_random_and_propensities_are_what_they_say(strategy: selection.Strategy) -> None:
    draw = np.random.default_rng(1)
    x, margins = draw.normal(size=(50, 4)), draw.normal(size=50)
    drawn = np.zeros(50)
    for seed in range(400):
        chosen = selection.choose(strategy, x, margins, 20, 0.25, seed)
        assert len({c.index for c in chosen}) == 20
        assert sum(c.strategy == "random" for c in chosen) == (20 if strategy == "random" else 5)
        drawn[[c.index for c in chosen if c.strategy == "random"]] += 1
    by_rule = {c.index for c in chosen if c.strategy != "random"}
    share = 20 / 50 if strategy == "random" else 5 / 35
    assert {c.propensity for c in chosen if c.strategy == "random"} == {share}
    rest = [i for i in range(50) if i not in by_rule]
    standard_error = np.sqrt(share * (1 - share) / 400)
    assert np.abs(drawn[rest] / 400 - share).max() < 4.5 * standard_error
    assert drawn[list(by_rule)].sum() == 0
    if strategy == "gap":
        assert by_rule == set(np.argsort(-np.abs(margins))[:15].tolist())


def test_too_little_chance_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected 0\.2 to 1"):
        selection.choose("gap", np.zeros((3, 1)), np.zeros(3), 2, 0.1, 0)
    assert len(selection.choose("gap", np.zeros((3, 1)), np.zeros(3), 9, 0.2, 0)) == 3
