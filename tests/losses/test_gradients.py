"""Finite differences in float64 for every loss, away from kinks."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trueward.losses import kl
from trueward.losses.advantages import group_advantages
from trueward.losses.logprobs import entropy, token_logprobs
from trueward.losses.masks import whiten
from trueward.losses.policy import clipped_surrogate, clipped_value
from trueward.losses.preference import bradley_terry, dpo, dpo_margin, ipo, robust_dpo, simpo
from trueward.losses.supervised import cross_entropy

ROWS, WIDTH, VOCABULARY = 3, 4, 5
MASK = torch.tensor([[True, True, True, True], [False, True, True, False], [True, False, False, False]])
IDS = torch.randint(VOCABULARY, (ROWS, WIDTH), generator=torch.Generator().manual_seed(8))


def reals(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


LOGITS, OTHER = reals(ROWS, WIDTH, VOCABULARY), reals(ROWS, WIDTH, VOCABULARY, seed=1)
BEHAVIOUR = token_logprobs(LOGITS + 0.3 * OTHER, IDS)
REFERENCE = token_logprobs(OTHER, IDS)
ADVANTAGES, VALUES, RETURNS = (reals(ROWS, WIDTH, seed=s) for s in (2, 3, 4))
LABELS = torch.tensor([1.0, 0.0, 0.5, 0.3], dtype=torch.float64)

LOSSES: dict[str, tuple[Callable[..., Tensor], list[Tensor]]] = {
    "bradley_terry": (lambda a, b: bradley_terry(a, b, LABELS).mean(), [reals(4), reals(4, seed=1)]),
    "dpo": (
        lambda a, b: dpo(dpo_margin(a, b, reals(4, seed=5), reals(4, seed=6), 0.7), LABELS, 0.1).mean(),
        [reals(4), reals(4, seed=1)],
    ),
    "robust_dpo": (lambda m: robust_dpo(m, LABELS, 0.2).mean(), [reals(4)]),
    "ipo": (lambda m: ipo(m, LABELS, 0.3).mean(), [reals(4)]),
    "simpo": (lambda a, b: simpo(a, b, LABELS, 2.0, 0.5).mean(), [reals(4), reals(4, seed=1)]),
    "group_advantages": (
        lambda r: (ADVANTAGES * group_advantages(r, "others", "sample")).sum(),
        [RETURNS],
    ),
    "cross_entropy": (lambda x: cross_entropy(token_logprobs(x, IDS), MASK, 7.0), [LOGITS]),
    "log-probs at temperature .7": (lambda x: (ADVANTAGES * token_logprobs(x, IDS, 0.7)).sum(), [LOGITS]),
    "clipped_surrogate": (
        lambda x: clipped_surrogate(token_logprobs(x, IDS), BEHAVIOUR, ADVANTAGES, MASK, 0.2)[0].sum(),
        [LOGITS],
    ),
    "clipped_surrogate with a dual and a higher clip": (
        lambda x: clipped_surrogate(token_logprobs(x, IDS), BEHAVIOUR, ADVANTAGES, MASK, 0.1, 0.3, 1.05)[0].sum(),
        [LOGITS],
    ),
    "clipped_value": (
        lambda v: clipped_value(v, VALUES, RETURNS, MASK, 0.2)[0].sum(),
        [VALUES + 0.3 * ADVANTAGES],
    ),
    "k1": (lambda x: kl.k1(token_logprobs(x, IDS), REFERENCE).sum(), [LOGITS]),
    "k2": (lambda x: kl.k2(token_logprobs(x, IDS), REFERENCE).sum(), [LOGITS]),
    "k3": (lambda x: kl.k3(token_logprobs(x, IDS), REFERENCE).sum(), [LOGITS]),
    "exact": (lambda x, y: kl.exact(x, y, 0.8).sum(), [LOGITS, OTHER]),
    "entropy": (lambda x: entropy(x, 0.8).sum(), [LOGITS]),
    "whiten": (lambda x: (RETURNS * whiten(x, MASK)).sum(), [ADVANTAGES]),
}


def relative_error(function: Callable[..., Tensor], inputs: list[Tensor], h: float = 1e-5) -> float:
    """Of a scalar function's gradient against central differences, in the gradient's norm."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    got = torch.cat([g.flatten() for g in torch.autograd.grad(function(*leaves), leaves)])
    numeric = []
    with torch.no_grad():
        for which, x in enumerate(inputs):
            for place in range(x.numel()):
                ends = []
                for sign in (1.0, -1.0):
                    moved = [y.detach().clone() for y in inputs]
                    moved[which].view(-1)[place] += sign * h
                    ends.append(function(*moved))
                numeric.append((ends[0] - ends[1]) / (2 * h))
    expected = torch.stack(numeric)
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    function, inputs = LOSSES[name]
    assert relative_error(function, inputs) < 1e-6
