"""The clipped losses of PPO: their gradient at ratio 1, and where there is none."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.losses.logprobs import entropy, token_logprobs
from trueward.losses.policy import clipped_surrogate, clipped_value

CLIP = 0.2


def reals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def surrogate_gradient(ratio: float, advantage: float, **more: Any) -> tuple[float, float, float]:
    """Loss, its gradient in log π, and the flag, at one token."""
    sampler_logprobs = torch.tensor([[-1.0]], dtype=torch.float64)
    logprob = (sampler_logprobs + math.log(ratio)).requires_grad_()
    mask = torch.ones(1, 1, dtype=torch.bool)
    loss, seen = clipped_surrogate(
        logprob, sampler_logprobs, torch.tensor([[advantage]], dtype=torch.float64), mask, CLIP, **more
    )
    loss.sum().backward()
    assert logprob.grad is not None
    return loss.item(), logprob.grad.item(), seen["clipped"].item()


def test_at_the_behaviour_policy_the_gradient_is_that_of_the_policy_gradient() -> None:
    logits = reals(4, 6, 5).requires_grad_()
    ids = torch.randint(5, (4, 6), generator=torch.Generator().manual_seed(1))
    advantages = reals(4, 6, seed=2)
    logprobs = token_logprobs(logits, ids)
    mask = torch.ones(4, 6, dtype=torch.bool)
    loss, seen = clipped_surrogate(logprobs, logprobs.detach(), advantages, mask, CLIP)
    loss.mean().backward()
    # −E[A ∇log π], with ∇log π = onehot − π in the logits
    score = torch.nn.functional.one_hot(ids, 5) - logits.detach().softmax(-1)
    expected = -(advantages[..., None] * score) / ids.numel()
    torch.testing.assert_close(logits.grad, expected, rtol=0, atol=1e-10)
    assert (seen["ratio"] == 1).all()
    assert (seen["clipped"] == 0).all()
    assert (seen["kl"] == 0).all()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient", "clipped"),
    [
        (1.5, 2.0, -2.4, 0.0, 1.0),  # good and already likelier by more than ε
        (0.5, -2.0, 1.6, 0.0, 1.0),  # bad and already less likely by more than ε
        (1.5, -2.0, 3.0, 3.0, 0.0),  # bad and likelier: pulled back in full
        (0.5, 2.0, -1.0, -1.0, 0.0),  # good and less likely: pulled back in full
        (1.1, 2.0, -2.2, -2.2, 0.0),
        (0.9, -2.0, 1.8, 1.8, 0.0),
        (1.5, 0.0, 0.0, 0.0, 0.0),
    ],
)
def test_where_the_clip_binds(ratio: float, advantage: float, loss: float, gradient: float, clipped: float) -> None:
    assert surrogate_gradient(ratio, advantage) == pytest.approx((loss, gradient, clipped), abs=1e-12)


@pytest.mark.parametrize("whole_sequence", [False, True])
@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "gradient", "clipped"),
    [
        (2.5, -2.0, 5.0, 5.0, 0.0),  # bad and likelier, but not by the factor c: pulled back in full
        (3.5, -2.0, 6.0, 0.0, 1.0),  # by more than c = 3: the loss stays at −c·A
        (0.5, -2.0, 1.6, 0.0, 1.0),  # the clip below 1 is as ever
        (3.5, 2.0, -2.4, 0.0, 1.0),  # good: nothing changes
        (0.5, 2.0, -1.0, -1.0, 0.0),
    ],
)
def test_where_the_dual_clip_binds(
    ratio: float, advantage: float, loss: float, gradient: float, clipped: float, whole_sequence: bool
) -> None:
    result = surrogate_gradient(ratio, advantage, dual_clip=3.0, whole_sequence=whole_sequence)
    assert result == pytest.approx((loss, gradient, clipped), abs=1e-12)


@pytest.mark.parametrize(
    ("value", "old", "target", "loss", "gradient", "clipped"),
    [
        (0.5, 0.0, 1.0, 0.32, 0.0, 1.0),  # moved towards the target by more than ε: held at .2
        (-0.5, 0.0, -1.0, 0.32, 0.0, 1.0),
        (0.5, 0.0, -1.0, 1.125, 1.5, 0.0),  # moved away from it: pulled back in full
        (-0.5, 0.0, 1.0, 1.125, -1.5, 0.0),
        (0.1, 0.0, 1.0, 0.405, -0.9, 0.0),
        (2.0, 3.0, 4.0, 2.0, -2.0, 0.0),  # old 3, held at 2.8: (2.8 − 4)² < (2 − 4)²
        (3.5, 3.0, 4.0, 0.32, 0.0, 1.0),  # held at 3.2
        (5.0, 0.0, 1.0, 8.0, 4.0, 0.0),  # far beyond the target: the plain loss is the larger one
    ],
)
def test_the_clipped_value(
    value: float, old: float, target: float, loss: float, gradient: float, clipped: float
) -> None:
    leaf = torch.tensor([[value]], dtype=torch.float64, requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)
    got, bound = clipped_value(
        leaf, torch.tensor([[old]], dtype=torch.float64), torch.tensor([[target]], dtype=torch.float64), mask, CLIP
    )
    got.sum().backward()
    assert leaf.grad is not None
    assert (got.item(), leaf.grad.item(), bound.item()) == pytest.approx((loss, gradient, clipped), abs=1e-12)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), -float("inf"), 1e30])
def test_what_stands_outside_the_mask_changes_nothing(poison: float) -> None:
    mask = torch.tensor([[False, True, True, False], [True, False, False, False]])
    inputs = [reals(2, 4, seed=s) for s in range(3)]

    def run(arrays: list[Tensor], loss: str) -> tuple[Tensor, Tensor]:
        leaf = arrays[0].clone().requires_grad_()
        function = clipped_surrogate if loss == "policy" else clipped_value
        out = function(leaf, arrays[1], arrays[2], mask, CLIP)[0]
        out.sum().backward()
        assert leaf.grad is not None
        return out.detach(), leaf.grad

    for loss in ("policy", "value"):
        clean = run(inputs, loss)
        dirty = run([torch.where(mask, x, poison) for x in inputs], loss)
        assert torch.equal(clean[0], dirty[0])
        assert torch.equal(clean[1], dirty[1])
        assert (dirty[1][~mask] == 0).all()


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0])
def test_log_probs_and_entropy_at_a_temperature(temperature: float) -> None:
    logits = 3 * reals(7, 11)
    probabilities = [[math.exp(x / temperature) for x in row] for row in logits.tolist()]
    probabilities = [[w / sum(row) for w in row] for row in probabilities]
    for token in range(11):
        expected = [math.log(row[token]) for row in probabilities]
        got = token_logprobs(logits, torch.full((7,), token), temperature).tolist()
        assert got == pytest.approx(expected, abs=1e-12)
    expected = [-sum(p * math.log(p) for p in row) for row in probabilities]
    assert entropy(logits, temperature).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_token_of_probability_0_adds_nothing_to_the_entropy() -> None:
    assert entropy(torch.tensor([0.0, 0.0, -math.inf])).item() == pytest.approx(math.log(2), abs=1e-6)


def test_half_precision_logits_are_read_in_float32() -> None:
    logits = reals(3, 9).to(torch.bfloat16)
    got = token_logprobs(logits, torch.tensor([0, 4, 8]))
    assert got.dtype == torch.float32
    expected = logits.double().log_softmax(-1)[torch.arange(3), torch.tensor([0, 4, 8])]
    torch.testing.assert_close(got.double(), expected, rtol=0, atol=1e-6)
