"""Garbage outside the mask, NaN included, changes neither loss nor gradient; nor does the side that is padded."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trueward.losses import kl
from trueward.losses.advantages import gae
from trueward.losses.masks import masked, masked_mean, masked_sum, whiten
from trueward.losses.policy import clipped_surrogate, clipped_value, clipped_weight, token_weights
from trueward.losses.supervised import cross_entropy

LENGTHS = [4, 1, 6, 3]
ROWS, WIDTH = len(LENGTHS), 9


def reals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weighed(loss: Tensor, mask: Tensor, reducer: str) -> Tensor:
    return loss * token_weights(mask, reducer, float(mask.sum()), ROWS, WIDTH).to(loss.dtype)


SCORES = reals(ROWS, seed=9)
# Of three arrays [B, T] and a mask: the loss by token, or one number. Differentiated in the first array.
LOSSES: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "cross_entropy": lambda x, y, z, m: cross_entropy(x, m, 5.0),
    "clipped_surrogate": lambda x, y, z, m: clipped_surrogate(x, y, z, m, 0.2)[0],
    "with a dual and a higher clip": lambda x, y, z, m: clipped_surrogate(x, y, z, m, 0.1, 0.3, 2.0)[0],
    "of the whole sequence": lambda x, y, z, m: clipped_surrogate(x, y, z, m, 0.2, whole_sequence=True)[0],
    "clipped_weight": lambda x, y, z, m: clipped_weight(x, y, z, m, 0.2)[0],
    "clipped_value": lambda x, y, z, m: clipped_value(x, y, z, m, 0.2)[0],
    "token weights: token": lambda x, y, z, m: weighed(clipped_surrogate(x, y, z, m, 0.2)[0], m, "token"),
    "token weights: sequence": lambda x, y, z, m: weighed(clipped_surrogate(x, y, z, m, 0.2)[0], m, "sequence"),
    "token weights: constant": lambda x, y, z, m: weighed(clipped_surrogate(x, y, z, m, 0.2)[0], m, "constant"),
    "token_rewards": lambda x, y, z, m: kl.token_rewards(SCORES, x, m, 0.3) * masked(y, m),
    "k1, sanitised": lambda x, y, z, m: kl.k1(masked(x, m), masked(y, m)),
    "k2, sanitised": lambda x, y, z, m: kl.k2(masked(x, m), masked(y, m)),
    "k3, sanitised": lambda x, y, z, m: kl.k3(masked(x, m), masked(y, m)),
    "advantages": lambda x, y, z, m: gae(x, y, m, 0.9, 0.7)[0] * masked(z, m),
    "returns": lambda x, y, z, m: gae(x, y, m, 0.9, 0.7)[1] * masked(z, m),
    "whiten": lambda x, y, z, m: whiten(x, m) * masked(y, m),
    "whiten around the mean": lambda x, y, z, m: whiten(x, m, shift_mean=False) * masked(y, m),
    "masked_mean": lambda x, y, z, m: masked_mean(x, m),
    "masked_sum": lambda x, y, z, m: masked_sum(x, m, 3.0),
}


def placed(where: str, poison: float) -> tuple[list[Tensor], Tensor]:
    """The same answers at the left end, the right end or behind prompts of several lengths, and what is outside."""
    starts = {"left": [0] * ROWS, "right": [WIDTH - n for n in LENGTHS], "middle": [2, 3, 1, 5]}[where]
    mask = torch.zeros(ROWS, WIDTH, dtype=torch.bool)
    arrays = [torch.full((ROWS, WIDTH), poison, dtype=torch.float64) for _ in range(3)]
    for row, (start, length) in enumerate(zip(starts, LENGTHS, strict=True)):
        mask[row, start : start + length] = True
        for which, array in enumerate(arrays):
            array[row, start : start + length] = reals(length, seed=10 * row + which) * 0.3
    return arrays, mask


def result(name: str, where: str, poison: float) -> tuple[Tensor, Tensor]:
    """The loss, its tokens in order, and the gradient at them; both must be 0 elsewhere."""
    arrays, mask = placed(where, poison)
    leaf = arrays[0].requires_grad_()
    loss = LOSSES[name](leaf, arrays[1], arrays[2], mask)
    (gradient,) = torch.autograd.grad(loss.sum(), leaf)
    assert (gradient[~mask] == 0).all()
    if loss.ndim:
        assert (loss[~mask] == 0).all()
        loss = loss[mask]
    return loss.detach(), gradient[mask]


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("where", ["left", "right", "middle"])
@pytest.mark.parametrize("name", LOSSES)
def test_garbage_changes_nothing(name: str, where: str, poison: float) -> None:
    clean, dirty = result(name, where, 0.0), result(name, where, poison)
    assert clean[1].abs().max() > 0
    for one, other in zip(clean, dirty, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", LOSSES)
def test_the_side_that_is_padded_changes_nothing(name: str) -> None:
    left = result(name, "left", 0.0)
    for where in ("right", "middle"):
        for one, other in zip(left, result(name, where, 0.0), strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-14)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 1e30])
@pytest.mark.parametrize("whole_sequence", [False, True])
def test_garbage_is_in_no_figure(poison: float, whole_sequence: bool) -> None:
    def figures(poison: float) -> list[Tensor]:
        (x, y, z), mask = placed("middle", poison)
        seen = clipped_surrogate(x, y, z, mask, 0.2, whole_sequence=whole_sequence)[1]
        more = clipped_weight(x, y, z, mask, 0.2)[1]
        got = [*seen.values(), *more.values(), clipped_value(x, y, z, mask, 0.2)[1]]
        assert all((figure[~mask] == 0).all() for figure in got)
        return got

    for one, other in zip(figures(0.0), figures(poison), strict=True):
        assert torch.equal(one, other)
