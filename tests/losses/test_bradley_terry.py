"""The loss on comparisons: Bradley–Terry."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from trueward.losses.preference import bradley_terry


def reals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_equal_rewards_cost_ln_2_whatever_the_label() -> None:
    zero = torch.zeros(4, dtype=torch.float64)
    label = torch.tensor([1.0, 0.0, 0.5, 0.3], dtype=torch.float64)
    assert bradley_terry(zero, zero, label).tolist() == pytest.approx([math.log(2)] * 4, abs=1e-15)
    assert bradley_terry(zero, zero).tolist() == pytest.approx([math.log(2)] * 4, abs=1e-15)


def test_a_constant_added_to_all_rewards_changes_nothing() -> None:
    first, second = reals(50), reals(50, seed=1)
    moved = bradley_terry(first + 17.25, second + 17.25)
    torch.testing.assert_close(moved, bradley_terry(first, second), rtol=0, atol=1e-12)


def test_swapping_a_pair_and_its_label_changes_nothing() -> None:
    first, second, label = reals(50), reals(50, seed=1), reals(50, seed=2).sigmoid()
    torch.testing.assert_close(
        bradley_terry(first, second, label), bradley_terry(second, first, 1 - label), rtol=0, atol=1e-14
    )


def test_by_hand() -> None:
    # margin ln 3: the first wins with probability 3/4
    first, second = torch.tensor([math.log(3.0)], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    assert bradley_terry(first, second, 1.0).item() == pytest.approx(math.log(4 / 3), abs=1e-14)
    assert bradley_terry(first, second, 0.0).item() == pytest.approx(math.log(4), abs=1e-14)


def test_a_tie_costs_the_mean_of_both_directions() -> None:
    first, second = reals(20), reals(20, seed=1)
    both = (bradley_terry(first, second, 1.0) + bradley_terry(first, second, 0.0)) / 2
    torch.testing.assert_close(bradley_terry(first, second, 0.5), both, rtol=0, atol=1e-14)


def test_large_margins_stay_finite() -> None:
    far = torch.tensor([1e4, -1e4], dtype=torch.float64, requires_grad=True)
    loss = bradley_terry(far, torch.zeros(2, dtype=torch.float64))
    loss.sum().backward()
    assert loss.tolist() == [0.0, 1e4]
    assert far.grad is not None
    assert far.grad.tolist() == [0.0, -1.0]


def test_three_clicks_a_over_b() -> None:
    rewards = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    losses, first = [], []
    for _ in range(3):
        loss = bradley_terry(rewards[0], rewards[1])
        (gradient,) = torch.autograd.grad(loss, rewards)
        with torch.no_grad():
            rewards -= 0.5 * gradient
        losses.append(loss.item())
        first.append(rewards[0].item())
        assert rewards.sum().item() == pytest.approx(0, abs=1e-15)
    assert losses == pytest.approx([0.693147, 0.474077, 0.347698], abs=5e-7)
    assert first == pytest.approx([0.250000, 0.438770, 0.585614], abs=5e-7)


def test_the_optimum_is_that_of_logistic_regression_on_differences() -> None:
    from sklearn.linear_model import LogisticRegression

    items = 6
    draw = np.random.default_rng(3)
    truth = draw.normal(size=items)
    pairs = [pair for pair in itertools.permutations(range(items), 2) for _ in range(6)]
    won = draw.random(len(pairs)) < [1 / (1 + math.exp(truth[j] - truth[i])) for i, j in pairs]
    features = np.zeros((len(pairs), items))
    for row, (i, j) in enumerate(pairs):
        features[row, i], features[row, j] = 1, -1
    regression = LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10, max_iter=10_000)
    expected = regression.fit(features, won).coef_[0]

    rewards = torch.zeros(items, dtype=torch.float64, requires_grad=True)
    first, second = torch.tensor(pairs).T
    optimizer = torch.optim.LBFGS(
        [rewards], max_iter=500, tolerance_grad=1e-11, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = bradley_terry(rewards[first], rewards[second], torch.tensor(won, dtype=torch.float64)).sum()
        value.backward()
        return value

    optimizer.step(loss)
    got = rewards.detach().numpy()
    np.testing.assert_allclose(got - got.mean(), expected - expected.mean(), atol=1e-6)
