"""Generalised advantage estimation, the rewards by token, and whitening."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trueward.losses import kl
from trueward.losses.advantages import adaptive_lambda, gae
from trueward.losses.masks import masked_mean, masked_sum, whiten

ROWS, WIDTH = 5, 9
STARTS, ENDS = [0, 2, 3, 1, 8], [9, 6, 4, 8, 9]


def reals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def runs() -> Tensor:
    """A mask of one run a row: from the first column, to the last, in the middle, of one token."""
    at = torch.arange(WIDTH)
    return (at >= torch.tensor(STARTS)[:, None]) & (at < torch.tensor(ENDS)[:, None])


def poisoned(x: Tensor, mask: Tensor, poison: float) -> Tensor:
    return torch.where(mask, x, poison)


def test_by_hand() -> None:
    # γ = .5, λ = .5: δ = 1 + 1 − 4, 2 + 3 − 2, 3 − 6 = −2, 3, −3; A_3 = −3, A_2 = 3 − .75, A_1 = −2 + .5625
    rewards, values = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[4.0, 2.0, 6.0]])
    advantages, returns = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), 0.5, 0.5)
    assert advantages.tolist() == [[-1.4375, 2.25, -3.0]]
    assert returns.tolist() == [[2.5625, 4.25, 3.0]]


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_lambda_1_is_return_minus_value(discount: float) -> None:
    rewards, values, mask = reals(ROWS, WIDTH), reals(ROWS, WIDTH, seed=1), runs()
    advantages, returns = gae(rewards, values, mask, discount, 1.0)
    for row, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        for t in range(start, end):
            total = sum(discount ** (k - t) * rewards[row, k].item() for k in range(t, end))
            assert returns[row, t].item() == pytest.approx(total, abs=1e-12)
            assert advantages[row, t].item() == pytest.approx(total - values[row, t].item(), abs=1e-12)


@pytest.mark.parametrize("discount", [1.0, 0.9])
def test_lambda_0_is_the_td_error(discount: float) -> None:
    rewards, values, mask = reals(ROWS, WIDTH), reals(ROWS, WIDTH, seed=1), runs()
    advantages, _ = gae(rewards, values, mask, discount, 0.0)
    for row, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        for t in range(start, end):
            ahead = values[row, t + 1].item() if t + 1 < end else 0.0
            error = rewards[row, t].item() + discount * ahead - values[row, t].item()
            assert advantages[row, t].item() == pytest.approx(error, abs=1e-12)


@pytest.mark.parametrize(("discount", "lam"), [(1.0, 0.95), (0.9, 0.7), (0.5, 0.3)])
def test_equals_the_weighted_sum_of_n_step_advantages(discount: float, lam: float) -> None:
    rewards, values, mask = reals(ROWS, WIDTH), reals(ROWS, WIDTH, seed=1), runs()
    advantages, returns = gae(rewards, values, mask, discount, lam)
    for row, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        for t in range(start, end):
            steps = []
            for n in range(1, end - t + 1):
                discounted = sum(discount**k * rewards[row, t + k].item() for k in range(n))
                rest = discount**n * values[row, t + n].item() if t + n < end else 0.0
                steps.append(discounted + rest - values[row, t].item())
            expected = (
                sum((1 - lam) * lam**n * a for n, a in enumerate(steps[:-1])) + lam ** (len(steps) - 1) * steps[-1]
            )
            assert advantages[row, t].item() == pytest.approx(expected, abs=1e-12)
            assert returns[row, t].item() == pytest.approx(expected + values[row, t].item(), abs=1e-12)


def test_each_row_by_its_own_lambda() -> None:
    rewards, values, mask = reals(ROWS, WIDTH), reals(ROWS, WIDTH, seed=1), runs()
    own = [0.0, 0.3, 0.95, 1.0, 0.5]
    together = gae(rewards, values, mask, 0.9, torch.tensor(own, dtype=torch.float64))
    for row, lam in enumerate(own):
        alone = gae(rewards[row : row + 1], values[row : row + 1], mask[row : row + 1], 0.9, lam)
        for one, other in zip(together, alone, strict=True):
            torch.testing.assert_close(one[row : row + 1], other, rtol=0, atol=1e-14)


def test_lambda_by_length() -> None:
    # 1 − 1/(.5·4) = .5, 1 − 1/(.5·20) = .9, 1 − 1/(.5·2) = 0, and below 0 it stays 0
    assert adaptive_lambda(torch.tensor([4, 20, 2, 1]), 0.5).tolist() == pytest.approx([0.5, 0.9, 0.0, 0.0])


@pytest.mark.parametrize("poison", [1e6, float("nan"), float("inf")])
def test_padding_neither_contributes_nor_leaks(poison: float) -> None:
    rewards, values, mask = reals(ROWS, WIDTH), reals(ROWS, WIDTH, seed=1), runs()
    clean = gae(rewards, values, mask, 0.9, 0.7)
    dirty = gae(poisoned(rewards, mask, poison), poisoned(values, mask, poison), mask, 0.9, 0.7)
    for one, other in zip(clean, dirty, strict=True):
        assert torch.equal(one, other)
        assert (other[~mask] == 0).all()


@pytest.mark.parametrize("kl_coef", [0.0, 0.1, 2.0])
def test_rewards_are_conserved(kl_coef: float) -> None:
    mask, score = runs(), reals(ROWS, seed=4)
    policy, reference = reals(ROWS, WIDTH, seed=2), reals(ROWS, WIDTH, seed=3)
    rewards = kl.token_rewards(score, poisoned(kl.k1(policy, reference), mask, float("nan")), mask, kl_coef)
    assert (rewards[~mask] == 0).all()
    for row, (start, end) in enumerate(zip(STARTS, ENDS, strict=True)):
        ratio = (policy - reference)[row, start:end].sum().item()
        assert rewards[row].sum().item() == pytest.approx(score[row].item() - kl_coef * ratio, abs=1e-12)
        last = score[row].item() - kl_coef * (policy - reference)[row, end - 1].item()
        assert rewards[row, end - 1].item() == pytest.approx(last, abs=1e-12)


def test_whitened_values_have_mean_0_and_sd_1_over_the_mask() -> None:
    mask, x = runs(), 5 + 3 * reals(ROWS, WIDTH)
    white = whiten(poisoned(x, mask, float("nan")), mask)
    assert (white[~mask] == 0).all()
    assert white[mask].mean().item() == pytest.approx(0, abs=1e-12)
    assert white[mask].std(correction=0).item() == pytest.approx(1, abs=1e-8)
    stored = whiten(x, mask, shift_mean=False)
    assert stored[mask].mean().item() == pytest.approx(x[mask].mean().item(), abs=1e-12)
    assert (stored[~mask] == 0).all()


def test_a_constant_whitens_to_0() -> None:
    mask = runs()
    assert (whiten(torch.full((ROWS, WIDTH), 7.0), mask) == 0).all()
    assert (whiten(torch.full((ROWS, WIDTH), 7.0), mask, shift_mean=False)[mask] == 7).all()


def test_reductions_ignore_what_is_outside() -> None:
    mask, x = runs(), reals(ROWS, WIDTH)
    dirty = poisoned(x, mask, float("nan"))
    assert masked_sum(dirty, mask, 4.0).item() == pytest.approx(x[mask].sum().item() / 4, abs=1e-12)
    assert masked_mean(dirty, mask).item() == pytest.approx(x[mask].mean().item(), abs=1e-12)
    assert masked_mean(dirty, torch.zeros_like(mask)).item() == 0
