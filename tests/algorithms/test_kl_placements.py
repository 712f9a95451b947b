"""The gradient of the KL wherever a loop can put it, by enumeration: the table of docs/losses.md, on and off policy.

Two tokens out of three: a root state, and a state after each first token. Losses are averaged over everything that could
be sampled, by its probability under the policy that samples; the sampling itself is not differentiated.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trueward.algorithms import grpo
from trueward.losses import kl
from trueward.losses.advantages import group_advantages

SEQUENCES = torch.tensor(list(itertools.product(range(3), repeat=2)))
STATES = torch.stack([torch.zeros(9, dtype=torch.long), 1 + SEQUENCES[:, 0]], 1)  # where each token is chosen, [9, 2]
BETA = 0.7


def logits(seed: int) -> Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).requires_grad_()


POLICY, REFERENCE, BEHAVIOUR = logits(0), logits(1), logits(2)


def by_token(theta: Tensor) -> Tensor:
    """log π of each token of each sequence, [9, 2]."""
    return theta.log_softmax(-1)[STATES, SEQUENCES]


def sequence_kl() -> Tensor:
    q, p = by_token(POLICY).sum(1), by_token(REFERENCE).sum(1)
    return (q.exp() * (q - p)).sum()


def gradient(loss: Tensor, sampled_by: Tensor) -> Tensor:
    """Of the mean over sampled sequences. loss: [9, 2]."""
    chance = by_token(sampled_by).sum(1).exp().detach()
    (found,) = torch.autograd.grad((chance[:, None] * loss).sum(), POLICY)
    return found


def visits(sampled_by: Tensor) -> Tensor:
    """How often each state is visited, [4, 1]."""
    first = sampled_by.detach()[0].softmax(-1)
    return torch.cat([torch.ones(1, dtype=torch.float64), first])[:, None]


def reverse() -> Tensor:
    """∇ of each state's own KL(q ‖ p) in its logits: q_a (log q_a/p_a − KL), [4, 3]."""
    q, p = POLICY.detach().log_softmax(-1), REFERENCE.detach().log_softmax(-1)
    return q.exp() * (q - p - (q.exp() * (q - p)).sum(-1, keepdim=True))


def forward() -> Tensor:
    """∇ of each state's KL(p ‖ q): q − p, [4, 3]."""
    return POLICY.detach().softmax(-1) - REFERENCE.detach().softmax(-1)


def placed(placement: str, sampled_by: Tensor) -> Tensor:
    """The gradient of the loop's own KL term."""
    term = grpo._anchored(placement, by_token(POLICY), by_token(REFERENCE).detach(), by_token(sampled_by).detach())
    return gradient(term, sampled_by)


@pytest.mark.parametrize(("baseline", "factor"), [("others", 1.0), ("mean", 2 / 3)])
def test_in_the_reward_of_a_group_it_is_that_of_the_sequence_kl(baseline: str, factor: float) -> None:
    """Groups of three, all 729 of them: for GRPO (G − 1)/G of RLOO's."""
    logp = by_token(POLICY).sum(1)
    paid = -BETA * kl.k1(by_token(POLICY), by_token(REFERENCE)).sum(1).detach()
    groups = torch.tensor(list(itertools.product(range(9), repeat=3)))
    advantages = group_advantages(paid[groups], baseline, "none")
    chance = logp[groups].sum(1).exp().detach()
    (found,) = torch.autograd.grad((chance * -(advantages * logp[groups]).mean(1)).sum(), POLICY)
    (whole,) = torch.autograd.grad(sequence_kl(), POLICY)
    torch.testing.assert_close(found, factor * BETA * whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampled_by", [POLICY, BEHAVIOUR], ids=["on policy", "off policy"])
def test_k2_is_that_of_each_positions_kl_where_the_answers_go(sampled_by: Tensor) -> None:
    torch.testing.assert_close(placed("k2", sampled_by), visits(sampled_by) * reverse(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("sampled_by", [POLICY, BEHAVIOUR], ids=["on policy", "off policy"])
def test_k3_weighted_is_it_too_for_the_weight_is_differentiated(sampled_by: Tensor) -> None:
    torch.testing.assert_close(placed("k3-weighted", sampled_by), visits(sampled_by) * reverse(), rtol=0, atol=1e-12)


def test_k3_is_the_forward_kl_on_policy_and_nothings_off_policy() -> None:
    torch.testing.assert_close(placed("k3", POLICY), visits(POLICY) * forward(), rtol=0, atol=1e-12)
    off = placed("k3", BEHAVIOUR)
    for other in (forward(), reverse()):
        assert (off - visits(BEHAVIOUR) * other).norm() > 0.05


def test_off_policy_the_weight_is_needed_and_differentiated_as_the_table_says() -> None:
    def found(estimate: Callable[[Tensor, Tensor], Tensor], how: str) -> Tensor:
        q = by_token(POLICY)
        weight = (q - by_token(BEHAVIOUR).detach()).exp()
        factor = {"through": weight, "detached": weight.detach(), "none": torch.ones(())}[how]
        return gradient(factor * estimate(q, by_token(REFERENCE).detach()), BEHAVIOUR)

    wanted, other = visits(BEHAVIOUR) * reverse(), visits(BEHAVIOUR) * forward()
    torch.testing.assert_close(found(kl.k1, "through"), wanted, rtol=0, atol=1e-12)
    assert found(kl.k1, "detached").abs().max() < 1e-12
    torch.testing.assert_close(found(kl.k2, "detached"), wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(found(kl.k3, "through"), wanted, rtol=0, atol=1e-12)
    torch.testing.assert_close(found(kl.k3, "detached"), other, rtol=0, atol=1e-12)
    for estimate, how in ((kl.k1, "none"), (kl.k2, "none"), (kl.k2, "through"), (kl.k3, "none")):
        assert (found(estimate, how) - wanted).norm() > 0.05


def test_a_clamp_takes_the_anchor_away_where_it_should_pull_hardest() -> None:
    """None of the estimators is clamped: far away, they still pull."""
    far = torch.tensor([-20.0, -5.0, 5.0, 50.0], dtype=torch.float64, requires_grad=True)
    for estimate in (kl.k1, kl.k2, kl.k3):
        (pull,) = torch.autograd.grad(estimate(far, torch.zeros(4, dtype=torch.float64)).sum(), far)
        assert (pull.abs() > 0.9).all()
    for placement in ("k2", "k3", "k3-weighted"):
        term = grpo._anchored(placement, far, torch.zeros(4, dtype=torch.float64), far.detach())
        (pull,) = torch.autograd.grad(term.sum(), far)
        assert (pull.abs() > 0.9).all(), placement
