"""KL estimators on an enumerated task (vocabulary 3, length 3): their means, and the table of their gradients."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from trueward.losses import kl
from trueward.losses.advantages import gae
from trueward.losses.policy import clipped_surrogate

VOCABULARY, LENGTH = 3, 3
STATES = [s for n in range(LENGTH) for s in itertools.product(range(VOCABULARY), repeat=n)]
SEQUENCES = list(itertools.product(range(VOCABULARY), repeat=LENGTH))
# the state in which each token of each sequence is chosen, [27, 3]
VISITED = torch.tensor([[STATES.index(x[:t]) for t in range(LENGTH)] for x in SEQUENCES])
TOKENS = torch.tensor(SEQUENCES)
EVERYWHERE = torch.ones(len(SEQUENCES), LENGTH, dtype=torch.bool)


def logits(seed: int) -> Tensor:
    return torch.randn(
        len(STATES), VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    ).requires_grad_()


def by_token(theta: Tensor) -> Tensor:
    """log π of every token of every sequence, [27, 3]."""
    return theta.log_softmax(-1)[VISITED, TOKENS]


def sequence_kl(theta: Tensor, reference: Tensor) -> Tensor:
    q, p = by_token(theta).sum(1), by_token(reference).sum(1)
    return (q.exp() * (q - p)).sum()


def state_weights(theta: Tensor) -> Tensor:
    """How often each state is visited, [13]."""
    chance = by_token(theta).sum(1).exp().detach()
    return torch.zeros(len(STATES), dtype=torch.float64).index_add(
        0, VISITED.flatten(), chance[:, None].expand(-1, LENGTH).flatten()
    )


def state_kl(theta: Tensor, reference: Tensor) -> Tensor:
    q, p = theta.detach().log_softmax(-1), reference.detach().log_softmax(-1)
    return (q.exp() * (q - p)).sum(-1)


def expected_gradient(theta: Tensor, loss: Tensor) -> Tensor:
    """The mean over sampled sequences of a loss's gradient: the sampling itself is not differentiated. loss: [27, 3]."""
    chance = by_token(theta).sum(1).exp().detach()
    (gradient,) = torch.autograd.grad((chance[:, None] * loss).sum(), theta)
    return gradient


THETA, REFERENCE = logits(0), logits(1)


def test_k1_and_k3_have_mean_kl_and_k2_has_not() -> None:
    q, p = by_token(THETA).detach(), by_token(REFERENCE).detach()
    chance = q.sum(1).exp()
    exact = (state_weights(THETA) * state_kl(THETA, REFERENCE)).sum().item()

    def mean(estimate: Tensor) -> float:
        return (chance[:, None] * estimate).sum().item()

    assert mean(kl.k1(q, p)) == pytest.approx(exact, abs=1e-12)
    assert mean(kl.k3(q, p)) == pytest.approx(exact, abs=1e-12)
    assert abs(mean(kl.k2(q, p)) - exact) > 0.01


def test_token_kls_add_up_to_the_sequence_kl() -> None:
    summed = (state_weights(THETA) * kl.exact(THETA, REFERENCE).detach()).sum().item()
    assert summed == pytest.approx(sequence_kl(THETA, REFERENCE).item(), abs=1e-12)


def test_exact_is_the_enumeration() -> None:
    torch.testing.assert_close(
        kl.exact(THETA, REFERENCE).detach().double(), state_kl(THETA, REFERENCE), rtol=0, atol=1e-12
    )
    cold = kl.exact(THETA, REFERENCE, 0.5).detach().double()
    torch.testing.assert_close(cold, state_kl(2 * THETA, 2 * REFERENCE), rtol=0, atol=1e-12)


def test_exact_with_tokens_that_the_policy_never_chooses() -> None:
    policy = torch.tensor([0.0, 0.0, -torch.inf])
    reference = torch.tensor([0.0, 0.0, 0.0])
    assert kl.exact(policy, reference).item() == pytest.approx(torch.tensor(1.5).log().item(), abs=1e-6)


def test_exact_is_infinite_where_the_policy_does_what_the_reference_never_does() -> None:
    assert kl.exact(torch.tensor([0.0, 0.0]), torch.tensor([0.0, -torch.inf])).item() == torch.inf


def test_k3_is_never_negative() -> None:
    draw = torch.Generator().manual_seed(0)
    difference = torch.cat([torch.randn(1000, generator=draw) * scale for scale in (1e-6, 1e-3, 1, 5)])
    assert (kl.k3(difference, torch.zeros_like(difference)) >= 0).all()
    assert kl.k3(torch.tensor(-2.0), torch.tensor(-2.0)).item() == 0


@pytest.mark.parametrize("kl_coef", [1.0, 0.3])
def test_k1_in_the_reward_has_the_gradient_of_the_sequence_kl(kl_coef: float) -> None:
    q = by_token(THETA)
    rewards = kl.token_rewards(torch.zeros(len(SEQUENCES)), kl.k1(q, by_token(REFERENCE)).detach(), EVERYWHERE, kl_coef)
    advantages, _ = gae(rewards, torch.zeros_like(rewards), EVERYWHERE, 1.0, 1.0)
    loss, _ = clipped_surrogate(q, q.detach(), advantages, EVERYWHERE, 0.2)
    (exact,) = torch.autograd.grad(sequence_kl(THETA, REFERENCE), THETA)
    torch.testing.assert_close(expected_gradient(THETA, loss), kl_coef * exact, rtol=0, atol=1e-12)


def test_k1_in_the_reward_with_an_exact_critic_has_it_at_any_lambda() -> None:
    q = by_token(THETA)
    rewards = kl.token_rewards(torch.zeros(len(SEQUENCES)), kl.k1(q, by_token(REFERENCE)).detach(), EVERYWHERE, 1.0)
    chance = q.sum(1).exp().detach()
    togo = rewards.flip(1).cumsum(1).flip(1)
    value = torch.stack(
        [(chance[:, None] * togo)[s == VISITED].sum() / (chance[:, None] * (s == VISITED)).sum() for s in range(13)]
    )
    (exact,) = torch.autograd.grad(sequence_kl(THETA, REFERENCE), THETA)
    for lam in (0.0, 0.6):
        advantages, _ = gae(rewards, value[VISITED], EVERYWHERE, 1.0, lam)
        loss, _ = clipped_surrogate(by_token(THETA), q.detach(), advantages, EVERYWHERE, 0.2)
        torch.testing.assert_close(expected_gradient(THETA, loss), exact, rtol=0, atol=1e-12)


def test_k3_in_the_reward_is_biased() -> None:
    q = by_token(THETA)
    rewards = kl.token_rewards(torch.zeros(len(SEQUENCES)), kl.k3(q, by_token(REFERENCE)).detach(), EVERYWHERE, 1.0)
    advantages, _ = gae(rewards, torch.zeros_like(rewards), EVERYWHERE, 1.0, 1.0)
    loss, _ = clipped_surrogate(q, q.detach(), advantages, EVERYWHERE, 0.2)
    (exact,) = torch.autograd.grad(sequence_kl(THETA, REFERENCE), THETA)
    assert (expected_gradient(THETA, loss) - exact).norm() > 0.3 * exact.norm()


def test_k1_differentiated_does_nothing() -> None:
    gradient = expected_gradient(THETA, kl.k1(by_token(THETA), by_token(REFERENCE)))
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-12)


def test_k2_differentiated_has_the_gradient_of_each_positions_kl() -> None:
    q, p = THETA.detach().log_softmax(-1), REFERENCE.detach().log_softmax(-1)
    # ∂KL/∂logit_a = q_a (log q_a/p_a − KL)
    local = q.exp() * (q - p - state_kl(THETA, REFERENCE)[:, None])
    expected = state_weights(THETA)[:, None] * local
    gradient = expected_gradient(THETA, kl.k2(by_token(THETA), by_token(REFERENCE)))
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)
    (gradient_of_the_sequence_kl,) = torch.autograd.grad(sequence_kl(THETA, REFERENCE), THETA)
    assert (gradient - gradient_of_the_sequence_kl).norm() > 0.01


def test_k3_differentiated_has_the_gradient_of_the_forward_kl() -> None:
    q, p = THETA.detach().softmax(-1), REFERENCE.detach().softmax(-1)
    expected = state_weights(THETA)[:, None] * (q - p)
    gradient = expected_gradient(THETA, kl.k3(by_token(THETA), by_token(REFERENCE)))
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-12)


def variances(theta: Tensor, reference: Tensor) -> tuple[float, float]:
    """Of one sequence's estimate of the KL, k1's and the exact sum's, by enumeration."""
    chance = by_token(theta).sum(1).exp().detach()
    k1 = kl.k1(by_token(theta), by_token(reference)).detach().sum(1)
    exact = kl.exact(theta, reference).detach()[VISITED].sum(1)
    one, other = (((chance * x**2).sum() - (chance * x).sum() ** 2).item() for x in (k1, exact))
    return one, other


def test_neither_the_exact_kl_nor_k1_always_has_the_smaller_error() -> None:
    one, other = variances(THETA, REFERENCE)
    assert other < one
    # The first token is a or b, as likely; b's log-ratio is 1 nat less, and what follows on b costs 1 nat: k1's noise
    # undoes that of the states, the exact sum has only the latter.
    theta, reference = torch.zeros(2, len(STATES), VOCABULARY, dtype=torch.float64)
    theta[0, 2] = reference[0, 2] = -40
    reference[0, 1] = 1
    after_b = STATES.index((1,))
    theta[after_b, 1:] = -40
    reference[after_b] = torch.tensor([1, math.e - 1, 0], dtype=torch.float64).clamp(min=1e-20).log()
    one, other = variances(theta, reference)
    assert one == pytest.approx(0, abs=1e-9)
    assert other == pytest.approx(0.25, abs=1e-9)


def test_the_exact_kl_and_the_mean_of_k1_agree_on_samples() -> None:
    draw = torch.Generator().manual_seed(11)
    chance = by_token(THETA).sum(1).exp().detach()
    rows = torch.multinomial(chance, 4000, replacement=True, generator=draw)
    sampled = kl.k1(by_token(THETA), by_token(REFERENCE)).detach()[rows].sum(1)
    summed = kl.exact(THETA, REFERENCE).detach().double()[VISITED[rows]].sum(1)
    difference = sampled - summed
    assert difference.mean().abs() <= 4.5 * difference.std() / 4000**0.5
    assert summed.std() > 0
