"""Baselines within a group of answers to one prompt, and how tokens are weighted."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from trueward.losses.advantages import group_advantages
from trueward.losses.policy import clipped_surrogate, clipped_weight, token_weights

REWARDS = torch.tensor([[1.0, 0.0, 0.0, 3.0], [2.0, 2.0, 2.0, 2.0]], dtype=torch.float64)
MASK = torch.tensor([[False, True, True, False], [True, False, False, False], [True, True, True, True]])


def test_by_hand() -> None:
    assert group_advantages(REWARDS, "mean", "none").tolist() == [[0.0, -1.0, -1.0, 2.0], [0.0] * 4]
    # mean 3, SDs √(20/4) and √(20/3)
    more = torch.tensor([[0.0, 2.0, 4.0, 6.0]], dtype=torch.float64) + 7
    assert group_advantages(more, "mean", "none").tolist() == [[-3.0, -1.0, 1.0, 3.0]]
    assert group_advantages(more, "others", "none").tolist() == [[-4.0, -4 / 3, 4 / 3, 4.0]]
    for std, sd in (("population", 5**0.5), ("sample", (20 / 3) ** 0.5)):
        expected = [x / (sd + 0.5) for x in (-3, -1, 1, 3)]
        assert group_advantages(more, "mean", std, 0.5)[0].tolist() == pytest.approx(expected, abs=1e-12)
        expected = [x / (sd + 1e-6) for x in (-3, -1, 1, 3)]
        assert group_advantages(more, "mean", std)[0].tolist() == pytest.approx(expected, abs=1e-14)
    both = torch.cat([more, 10 * more])  # each group by itself
    assert group_advantages(both, "mean", "none").tolist() == [[-3.0, -1.0, 1.0, 3.0], [-30.0, -10.0, 10.0, 30.0]]
    others = group_advantages(REWARDS, "others", "none")
    assert others[0].tolist() == pytest.approx([0.0, -4 / 3, -4 / 3, 8 / 3], abs=1e-12)
    population = group_advantages(REWARDS, "mean", "population", 0.0)[0]
    assert population.tolist() == pytest.approx([x / 1.5**0.5 for x in (0, -1, -1, 2)], abs=1e-12)
    sample = group_advantages(REWARDS, "mean", "sample", 0.0)[0]
    assert sample.tolist() == pytest.approx([x / 2**0.5 for x in (0, -1, -1, 2)], abs=1e-12)


@pytest.mark.parametrize("std", ["none", "population", "sample"])
def test_a_group_of_equal_rewards_gives_no_advantage(std: str) -> None:
    for value, size in itertools.product([0.0, 0.1, 1 / 3, -7.77, 1000.1], [2, 3, 5, 7, 11]):
        advantages = group_advantages(torch.full((2, size), value), "mean", std)  # in float32, where means are rounded
        assert advantages.abs().max() <= 1e-6 * max(1.0, abs(value)), (value, size)


@pytest.mark.parametrize("size", [2, 3])
def test_the_leave_one_out_gradient_is_unbiased_and_the_means_is_smaller(size: int) -> None:
    # three arms, every group of answers enumerated: E[mean_i A_i ∇log π(x_i)] against ∇E[r]
    logits = torch.tensor([0.3, -0.4, 0.8], dtype=torch.float64, requires_grad=True)
    arms = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    logp = logits.log_softmax(0)
    (exact,) = torch.autograd.grad((logp.exp() * arms).sum(), logits, retain_graph=True)
    for baseline, factor in (("others", 1.0), ("mean", (size - 1) / size)):
        total = torch.zeros((), dtype=torch.float64)
        for group in itertools.product(range(3), repeat=size):
            drawn = torch.tensor(group)
            advantages = group_advantages(arms[drawn][None], baseline, "none")[0]
            total = total + logp[drawn].sum().exp().detach() * (advantages * logp[drawn]).mean()
        (got,) = torch.autograd.grad(total, logits, retain_graph=True)
        torch.testing.assert_close(got, factor * exact, rtol=0, atol=1e-12)


def weights(reducer: str, rows: Tensor | None = None) -> Tensor:
    mask = MASK if rows is None else MASK[rows]
    return token_weights(mask, reducer, 7.0, 3, 5)


def test_token_weights_by_hand() -> None:
    assert weights("token")[MASK].tolist() == pytest.approx([1 / 7] * 7)
    assert weights("sequence")[MASK].tolist() == pytest.approx([1 / 6] * 2 + [1 / 3] + [1 / 12] * 4)
    assert weights("constant")[MASK].tolist() == pytest.approx([1 / 15] * 7)
    for reducer in ("token", "sequence", "constant"):
        assert (weights(reducer)[~MASK] == 0).all()
        parts = [weights(reducer, torch.tensor([i]))[0] for i in range(3)]
        torch.testing.assert_close(torch.stack(parts), weights(reducer), rtol=0, atol=1e-7)


def one_token(ratio: float, advantage: float, function: str, **settings: float) -> tuple[float, float]:
    """Loss and its gradient in log π."""
    sampler_logprobs = torch.tensor([[-1.0]], dtype=torch.float64)
    logprob = (sampler_logprobs + torch.tensor(ratio, dtype=torch.float64).log()).requires_grad_()
    advantage_tensor, mask = torch.tensor([[advantage]], dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool)
    if function == "surrogate":
        loss, _ = clipped_surrogate(logprob, sampler_logprobs, advantage_tensor, mask, 0.2, **settings)
    else:
        loss, _ = clipped_weight(logprob, sampler_logprobs, advantage_tensor, mask, 0.2)
    (gradient,) = torch.autograd.grad(loss.sum(), logprob)
    return loss.item(), gradient.item()


def test_variants_of_the_clip_by_hand() -> None:
    assert one_token(1.25, 2.0, "surrogate", clip_high=0.3) == pytest.approx((-2.5, -2.5))
    assert one_token(1.5, 2.0, "surrogate", clip_high=0.3) == pytest.approx((-2.6, 0.0))
    assert one_token(0.5, -2.0, "surrogate", clip_high=0.3) == pytest.approx((1.6, 0.0))
    assert one_token(2.5, -2.0, "surrogate", dual_clip=3.0) == pytest.approx((5.0, 5.0))
    assert one_token(4.0, -2.0, "surrogate", dual_clip=3.0) == pytest.approx((6.0, 0.0))
    assert one_token(1.5, 2.0, "weight")[1] == pytest.approx(-2.4)
    assert one_token(0.5, 2.0, "weight")[1] == pytest.approx(-1.0)
    assert one_token(1.5, -2.0, "weight")[1] == pytest.approx(2.4)
    assert one_token(4.0, 0.5, "surrogate", clip_high=5.0, dual_clip=3.0) == pytest.approx((-2.0, -2.0))
    assert one_token(1.1, 0.5, "surrogate", dual_clip=3.0) == pytest.approx((-0.55, -0.55))
    assert one_token(4.0, 0.0, "surrogate", dual_clip=3.0)[0] == 0


def test_a_sequences_ratio_by_hand() -> None:
    # answers of two, one and three tokens; ratios 2·½ = 1, 3, 1.1³ = 1.1³: geometric means 1, 3, 1.1
    ratios = torch.tensor([[9.0, 2.0, 0.5, 9.0], [3.0, 9.0, 9.0, 9.0], [9.0, 1.0, 1.1, 1.21]], dtype=torch.float64)
    mask = torch.tensor([[False, True, True, False], [True, False, False, False], [False, True, True, True]])
    advantages = torch.tensor([[2.0], [-1.0], [5.0]], dtype=torch.float64).expand(3, 4)
    sampler_logprobs = torch.full((3, 4), -4.0, dtype=torch.float64)
    logprobs = (sampler_logprobs + ratios.log()).requires_grad_()
    loss, seen = clipped_surrogate(logprobs, sampler_logprobs, advantages, mask, 0.2, whole_sequence=True)
    expected = torch.where(mask, torch.tensor([[-2.0], [3.0], [-5.5]], dtype=torch.float64), 0.0)
    torch.testing.assert_close(loss.detach(), expected, rtol=0, atol=1e-12)
    ratio = torch.where(mask, torch.tensor([[1.0], [3.0], [1.1]], dtype=torch.float64), 0.0)
    torch.testing.assert_close(seen["ratio"], ratio, rtol=0, atol=1e-12)
    # −A·s through every token's own log-prob
    (gradient,) = torch.autograd.grad(loss.sum(), logprobs)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)
    nobody = torch.zeros_like(mask)
    assert (clipped_surrogate(logprobs, sampler_logprobs, advantages, nobody, 0.2, whole_sequence=True)[0] == 0).all()


def test_what_the_clip_says_of_itself_by_hand() -> None:
    ratio = torch.tensor([[1.0, 1.2, 1.5, 0.5, 2.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True, True, False]])
    sampler_logprobs = torch.full((1, 5), -2.0, dtype=torch.float64)
    logprobs, advantages = sampler_logprobs + ratio.log(), torch.ones(1, 5, dtype=torch.float64)
    # k3 to the behaviour: ρ − 1 − log ρ
    expected = [[r - 1 - math.log(r) for r in (1.0, 1.2, 1.5, 0.5)] + [0.0]]
    for function in (clipped_surrogate, clipped_weight):
        seen = function(logprobs, sampler_logprobs, advantages, mask, 0.2 if function is clipped_surrogate else 0.3)[1]
        assert seen["ratio"].tolist() == [pytest.approx([1.0, 1.2, 1.5, 0.5, 0.0], abs=1e-12)]
        assert seen["clipped"].tolist() == [[0.0, 0.0, 1.0, 0.0, 0.0]]
        assert seen["kl"].tolist() == [pytest.approx(expected[0], abs=1e-12)]
        assert {x.dtype for x in seen.values()} == {torch.float64}
