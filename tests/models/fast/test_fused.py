"""Backward passes written by hand: against finite differences, and against the same formula by autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trueward.losses import logprobs as lp
from trueward.models.fast import fused
from trueward.models.fast.fused import GatherRows, ReorderRows, RmsNorm, Rotary, SwiGlu, TokenLogprobs


def draw(*shape: int, seed: int = 0, grad: bool = True) -> Tensor:
    x = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x.requires_grad_(grad)


def test_rms_norm() -> None:
    x, weight = draw(5, 6), draw(6, seed=1)
    expected = x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight
    assert torch.allclose(RmsNorm.apply(x, weight, 1e-5, x.dtype), expected, atol=1e-14)
    assert torch.autograd.gradcheck(lambda a, b: RmsNorm.apply(a, b, 1e-5, a.dtype), (x, weight))
    heads = draw(3, 2, 6, seed=2)
    assert torch.autograd.gradcheck(lambda a, b: RmsNorm.apply(a, b, 1e-5, a.dtype), (heads, weight))


def test_swiglu() -> None:
    gate, up = draw(4, 7), draw(4, 7, seed=1)
    both = torch.cat([gate, up], dim=-1).detach().requires_grad_()
    assert torch.allclose(SwiGlu.apply(both), torch.nn.functional.silu(gate) * up, atol=1e-14)
    assert torch.autograd.gradcheck(SwiGlu.apply, (both,))


@pytest.mark.parametrize("heads", [3, 2])
def test_rotary_turns_the_first_heads_and_back(heads: int) -> None:
    x, angle = draw(4, 3, 6), draw(4, 1, 3, seed=1, grad=False)
    out = Rotary.apply(x, angle.cos(), angle.sin(), heads)
    pairs = torch.complex(x[..., :3], x[..., 3:]) * torch.polar(torch.ones_like(angle), angle)
    expected = torch.cat([torch.cat([pairs.real, pairs.imag], -1)[:, :heads], x[:, heads:]], dim=1)
    assert torch.allclose(out, expected, atol=1e-14)
    assert torch.autograd.gradcheck(lambda a: Rotary.apply(a, angle.cos(), angle.sin(), heads), (x,))


def test_places() -> None:
    x = draw(3, 2)
    to, back = torch.tensor([2, 0, 0, 1, 0]), torch.tensor([1, 3, 0])
    out = ReorderRows.apply(x, to, back)
    assert torch.equal(out[back], x)
    # What padding says is dropped: place 2 and 4 hold row 0 again.
    (grad,) = torch.autograd.grad(out, x, torch.arange(10.0, dtype=torch.float64).view(5, 2))
    assert grad.tolist() == [[2, 3], [6, 7], [0, 1]]
    assert torch.autograd.gradcheck(lambda a: GatherRows.apply(a, torch.tensor([2, 0])), (x,))


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("held", [1 << 20, 40])
def test_token_logprobs(temperature: float, held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        fused, "HELD", held
    )  # 40 numbers: one row of 9 logits at a time, and again in the backward pass
    states, weight, ids = draw(5, 4), draw(9, 4, seed=1), torch.tensor([0, 8, 3, 3, 5])
    chosen, entropy = TokenLogprobs.apply(states, weight, ids, temperature, True)
    logits = states @ weight.T
    assert torch.allclose(chosen, lp.token_logprobs(logits, ids, temperature), atol=1e-13)
    assert torch.allclose(entropy, lp.entropy(logits, temperature), atol=1e-13)
    assert not entropy.requires_grad
    assert torch.autograd.gradcheck(
        lambda a, b: TokenLogprobs.apply(a, b, ids, temperature, False)[0], (states, weight)
    )
    assert torch.autograd.gradcheck(
        lambda a: TokenLogprobs.apply(a, weight.detach(), ids, temperature, True)[0], (states,)
    )


def test_a_token_that_is_all_but_impossible() -> None:
    logits = torch.tensor([[0.0, 200.0, -300.0]])
    chosen, entropy = TokenLogprobs.apply(logits, torch.eye(3), torch.tensor([2]), 1.0, True)
    assert chosen.item() == -500.0
    assert entropy.item() == 0.0
