"""Laws of the KL-regularised optimum π* = p e^{r/b} / Z, with the KL that we measure: EXACT, rows 1 and 2."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trueward.losses import kl

BETAS = [0.03, 0.3, 1.0, 7.0]


def reals(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def tilt(p: Tensor, r: Tensor, b: float | Tensor) -> Tensor:
    """Log-probs of the optimum: [..., V]."""
    return (p + r / b).log_softmax(-1)


def gain(q: Tensor, r: Tensor) -> Tensor:
    return (q.exp() * r).sum(-1)


@pytest.mark.parametrize("b", BETAS)
def test_the_tilt_identity_for_any_policy(b: float) -> None:
    p, r = reals(12, seed=0).log_softmax(-1), reals(12, seed=1)
    q = (3 * reals(500, 12, seed=2)).log_softmax(-1)
    q[0, :9] = -torch.inf  # and one that never does most of it
    q = q.log_softmax(-1)
    constant = b * torch.logsumexp(p + r / b, -1)
    left = gain(q, r) - b * kl.exact(q, p.expand_as(q)) + b * kl.exact(q, tilt(p, r, b).expand_as(q))
    torch.testing.assert_close(left, constant.expand(500), rtol=0, atol=1e-12 * max(1.0, b))


@pytest.mark.parametrize("b", [0.1, 0.3, 1.0, 7.0])
def test_along_the_tilt_reward_costs_b_a_nat_and_grows_with_its_variance(b: float) -> None:
    p, r = reals(12, seed=3).log_softmax(-1), reals(12, seed=4)
    s = torch.tensor(1 / b, dtype=torch.float64, requires_grad=True)
    optimum = tilt(p, r, 1 / s)
    won, cost = gain(optimum, r), kl.exact(optimum, p)
    (won_by_s,) = torch.autograd.grad(won, s, retain_graph=True)
    (cost_by_s,) = torch.autograd.grad(cost, s)
    chance = optimum.detach().exp()
    variance = (chance * r**2).sum() - (chance * r).sum() ** 2
    assert won_by_s.item() == pytest.approx(variance.item(), rel=1e-9)
    assert (won_by_s / cost_by_s).item() == pytest.approx(b, rel=1e-8)


@pytest.mark.parametrize("b", [0.5, 1.0, 2.0])
def test_a_gaussian_reward_gains_the_root_of_twice_the_kl(b: float) -> None:
    r = torch.linspace(-12, 14, 20_001, dtype=torch.float64)  # so fine and wide that sums are integrals
    p = (-(r**2) / 2).log_softmax(-1)
    distance = kl.exact(tilt(p, r, b), p).item()
    assert distance == pytest.approx(1 / (2 * b**2), abs=1e-9)
    assert gain(tilt(p, r, b), r).item() == pytest.approx(math.sqrt(2 * distance), abs=1e-9)


def test_a_rare_reward_gains_more_than_that() -> None:
    rare = torch.tensor([0.99, 0.01], dtype=torch.float64)
    r = (torch.tensor([0.0, 1.0], dtype=torch.float64) - 0.01) / math.sqrt(0.01 * 0.99)
    optimum = tilt(rare.log(), r, 2.0)
    assert gain(optimum, r).item() == pytest.approx(5.99, abs=0.005)
    assert math.sqrt(2 * kl.exact(optimum, rare.log()).item()) == pytest.approx(2.06, abs=0.005)
