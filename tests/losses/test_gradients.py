"""Finite differences in float64 for every loss, away from kinks, stop-gradients frozen."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trueward import losses
from trueward.losses import kl
from trueward.losses.advantages import gae, group_advantages
from trueward.losses.logprobs import entropy, token_logprobs
from trueward.losses.masks import masked, masked_mean, masked_sum, whiten
from trueward.losses.policy import clipped_surrogate, clipped_value, clipped_weight, token_weights
from trueward.losses.preference import bradley_terry, direct, dpo, dpo_margin, ipo, robust_dpo, simpo
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
WEIGHTS = token_weights(MASK, "sequence", 7.0, 3, 4).double()
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
        [VALUES + 0.3 * (RETURNS - VALUES)],
    ),
    "k1": (lambda x: kl.k1(token_logprobs(x, IDS), REFERENCE).sum(), [LOGITS]),
    "k2": (lambda x: kl.k2(token_logprobs(x, IDS), REFERENCE).sum(), [LOGITS]),
    "k3": (lambda x: kl.k3(token_logprobs(x, IDS), REFERENCE).sum(), [LOGITS]),
    "exact": (lambda x, y: kl.exact(x, y, 0.8).sum(), [LOGITS, OTHER]),
    "entropy": (lambda x: entropy(x, 0.8).sum(), [LOGITS]),
    "whiten": (lambda x: (RETURNS * whiten(x, MASK)).sum(), [ADVANTAGES]),
    "whiten around the mean": (lambda x: (RETURNS * whiten(x, MASK, shift_mean=False)).sum(), [ADVANTAGES]),
    "masked_mean": (lambda x: masked_mean(RETURNS * x**2, MASK), [ADVANTAGES]),
    "masked_sum": (lambda x: masked_sum(RETURNS * x**2, MASK, 7.0), [ADVANTAGES]),
    "masked": (lambda x: masked(RETURNS * x**2, MASK).sum(), [ADVANTAGES]),
    "token_rewards": (
        lambda s, x: (ADVANTAGES * kl.token_rewards(s, x, MASK, 0.3)).sum(),
        [reals(ROWS, seed=9), RETURNS],
    ),
    "gae": (
        lambda r, v: sum((ADVANTAGES * (i + 1) * x).sum() for i, x in enumerate(gae(r, v, MASK, 0.9, 0.7))),
        [RETURNS, VALUES],
    ),
    "token_weights": (
        lambda x: (clipped_surrogate(token_logprobs(x, IDS), BEHAVIOUR, ADVANTAGES, MASK, 0.2)[0] * WEIGHTS).sum(),
        [LOGITS],
    ),
}
for loss in ("sigmoid", "ipo", "robust", "simpo"):
    LOSSES[f"direct {loss}"] = (
        lambda x, loss=loss: direct(
            x,
            reals(8, seed=5),
            torch.arange(1, 9),
            LABELS,
            loss=loss,
            beta=0.3,
            label_smoothing=0.1,
            simpo_beta=2.0,
            simpo_margin=1.0,
        )[0].sum(),
        [reals(8)],
    )
for baseline in ("mean", "others"):
    for std in ("none", "population", "sample"):
        LOSSES[f"group_advantages {baseline} {std}"] = (
            lambda r, baseline=baseline, std=std: (ADVANTAGES * group_advantages(r, baseline, std)).sum(),
            [RETURNS],
        )
CONSTANT = {
    *("at_temperature", "masked_infinite", "require"),  # parts of other functions here, without a formula of their own
    *(
        "adaptive_lambda",
        "deviation",
        "importance_weights",
        "labels",
        "mismatch",
        "ratio_figures",
    ),  # numbers that nothing is differentiated through
}


@pytest.mark.parametrize("module", [m.name for m in pkgutil.iter_modules(losses.__path__)])
def test_no_loss_is_forgotten(module: str) -> None:
    """Every public function of every module is differentiated above."""
    result = importlib.import_module(f"trueward.losses.{module}")
    public = {
        name
        for name, function in inspect.getmembers(result, inspect.isfunction)
        if function.__module__ == result.__name__ and not name.startswith("_")
    }
    known = " ".join([*LOSSES, *FROZEN]) + " token_logprobs dpo_margin"
    assert {name for name in public - CONSTANT if name not in known} == set()


def differences(function: Callable[..., Tensor], inputs: list[Tensor], h: float = 1e-5) -> Tensor:
    """Central differences of a scalar function in every number of its inputs, one after the other."""
    result = []
    with torch.no_grad():
        for which, x in enumerate(inputs):
            for place in range(x.numel()):
                ends = []
                for sign in (1.0, -1.0):
                    moved = [y.detach().clone() for y in inputs]
                    moved[which].view(-1)[place] += sign * h
                    ends.append(function(*moved))
                result.append((ends[0] - ends[1]) / (2 * h))
    return torch.stack(result)


def relative_error(function: Callable[..., Tensor], inputs: list[Tensor]) -> float:
    """Of a scalar function's gradient against central differences, in the gradient's norm."""
    leaves = [x.detach().clone().requires_grad_() for x in inputs]
    got = torch.cat([g.flatten() for g in torch.autograd.grad(function(*leaves), leaves)])
    expected = differences(function, inputs)
    return float((got - expected).norm() / expected.norm())


@pytest.mark.parametrize("name", LOSSES)
def test_the_gradient_is_that_of_finite_differences(name: str) -> None:
    function, inputs = LOSSES[name]
    assert relative_error(function, inputs) < 1e-6


LOGPROBS = token_logprobs(LOGITS, IDS)


def frozen_weight(logits: Tensor) -> Tensor:
    """−w·A·log π with the weight as it is at LOGITS."""
    weight = (LOGPROBS - BEHAVIOUR).exp().clamp(max=1.1)
    return masked(-weight * ADVANTAGES * token_logprobs(logits, IDS), MASK).sum()


def frozen_sequence_ratio(logits: Tensor) -> Tensor:
    """The clipped loss with the sequence's mean log-ratio as it is at LOGITS, moved by each token's own change."""
    ratio = torch.where(MASK, LOGPROBS - BEHAVIOUR, 0.0)
    mean = ratio.sum(1, keepdim=True) / MASK.sum(1, keepdim=True)
    moved = (mean + token_logprobs(logits, IDS) - LOGPROBS).exp()
    return masked(-torch.minimum(moved * ADVANTAGES, moved.clamp(0.9, 1.1) * ADVANTAGES), MASK).sum()


# What the code differentiates, and a function without stop-gradients that has the same gradient at LOGITS.
FROZEN: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "clipped_weight": (
        lambda x: clipped_weight(token_logprobs(x, IDS), BEHAVIOUR, ADVANTAGES, MASK, 0.1)[0].sum(),
        frozen_weight,
    ),
    "clipped_surrogate of the whole sequence": (
        lambda x: clipped_surrogate(token_logprobs(x, IDS), BEHAVIOUR, ADVANTAGES, MASK, 0.1, whole_sequence=True)[
            0
        ].sum(),
        frozen_sequence_ratio,
    ),
}


@pytest.mark.parametrize("name", FROZEN)
def test_stop_gradients_are_where_they_should_be(name: str) -> None:
    function, frozen = FROZEN[name]
    assert function(LOGITS).item() == pytest.approx(frozen(LOGITS).item(), abs=1e-12)
    leaf = LOGITS.clone().requires_grad_()
    (got,) = torch.autograd.grad(function(leaf), leaf)
    expected = differences(frozen, [LOGITS])
    assert float((got.flatten() - expected).norm() / expected.norm()) < 1e-6


def test_the_examples_are_on_both_sides_of_every_clip_and_on_none_of_its_edges() -> None:
    ratio = (LOGPROBS - BEHAVIOUR).exp()[MASK]
    for edge in (0.8, 0.9, 1.1, 1.2, 1.3):
        assert (ratio - edge).abs().min() > 1e-3
    for high, dual in ((None, None), (0.3, 1.05)):
        clipped = clipped_surrogate(LOGPROBS, BEHAVIOUR, ADVANTAGES, MASK, 0.2, high, dual)[1]["clipped"][MASK]
        assert 0 < clipped.mean() < 1
    mean = torch.where(MASK, LOGPROBS - BEHAVIOUR, 0.0).sum(1) / MASK.sum(1)
    assert ((mean.exp() - 0.9).abs() > 1e-3).all()
    assert ((mean.exp() - 1.1).abs() > 1e-3).all()
    assert 0 < clipped_value(VALUES + 0.3 * (RETURNS - VALUES), VALUES, RETURNS, MASK, 0.2)[1][MASK].mean() < 1
