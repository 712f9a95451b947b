"""Every public loss refuses what its docstring doesn't allow: broadcasting is a silent mistake here."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward import losses
from trueward.losses import kl
from trueward.losses.advantages import adaptive_lambda, gae, group_advantages
from trueward.losses.importance import deviation, importance_weights, mismatch
from trueward.losses.logprobs import at_temperature, entropy, masked_infinite, token_logprobs
from trueward.losses.masks import masked, masked_mean, masked_sum, whiten
from trueward.losses.policy import clipped_surrogate, clipped_value, clipped_weight, ratio_figures, token_weights
from trueward.losses.preference import bradley_terry, direct, dpo, dpo_margin, ipo, labels, robust_dpo, simpo
from trueward.losses.shapes import require
from trueward.losses.supervised import cross_entropy

Shape = tuple[int, ...] | float  # a number stands for itself
DIRECT = {"loss": "sigmoid", "beta": 0.1, "label_smoothing": 0.0, "simpo_beta": 2.0, "simpo_margin": 1.0}

# Each function as one of its tensors alone, shapes that it takes, and shapes that it refuses.
TABLE: dict[Callable[..., Any], tuple[Callable[..., Any], list[tuple[Shape, ...]], list[tuple[Shape, ...]]]] = {
    gae: (
        lambda r, v, m, lam: gae(r, v, m, 0.9, lam),
        [((3, 4), (3, 4), (3, 4), 0.9), ((3, 4), (3, 4), (3, 4), (3,))],
        [
            *[((3,), (3,), (3,), 0.9), ((3, 4), (3, 1), (3, 4), 0.9), ((3, 4), (3, 4), (4,), 0.9)],
            *[((3, 4), (3, 4), (3, 4), (3, 1)), ((3, 4), (3, 4), (3, 4), (1,)), ((2, 3, 4),) * 3 + (0.9,)],
        ],
    ),
    adaptive_lambda: (lambda n: adaptive_lambda(n, 0.05), [((3,),)], [((3, 1),), ((),)]),
    group_advantages: (
        lambda r: group_advantages(r, "mean", "sample"),
        [((3, 4),)],
        [((4,),), ((3, 1),), ((2, 3, 4),)],
    ),
    importance_weights: (
        importance_weights,
        [((3, 4),) * 3, ((4,),) * 3],
        [((3, 4), (4,), (3, 4)), ((3, 4), (3, 1), (3, 4)), ((3, 4), (3, 4), (3, 1))],
    ),
    deviation: (
        lambda own, old, m: deviation(own, old, m, 3),
        [((3, 4),) * 3, ((4,),) * 3],
        [((3, 4), (4,), (3, 4)), ((3, 4), (3, 4), (4,)), ((4,), (3, 4), (3, 4))],
    ),
    mismatch: (mismatch, [((3, 4),) * 3], [((3, 4), (4,), (3, 4)), ((3, 4), (3, 4), (4,)), ((4,), (3, 4), (3, 4))]),
    kl.k1: (kl.k1, [((3, 4), (3, 4)), ((5,), (5,))], [((3,), (3, 1)), ((3, 4), (4,)), ((3,), ())]),
    kl.k2: (kl.k2, [((3, 4), (3, 4)), ((5,), (5,))], [((3,), (3, 1)), ((3, 4), (4,)), ((3,), ())]),
    kl.k3: (kl.k3, [((3, 4), (3, 4)), ((5,), (5,))], [((3,), (3, 1)), ((3, 4), (4,)), ((3,), ())]),
    kl.exact: (kl.exact, [((3, 4, 7),) * 2, ((7,), (7,))], [((3, 7), (7,)), ((3, 7), (3, 1)), ((), ())]),
    kl.token_rewards: (
        lambda s, k, m: kl.token_rewards(s, k, m, 0.1),
        [((3,), (3, 4), (3, 4))],
        [((3, 1), (3, 4), (3, 4)), ((1,), (3, 4), (3, 4)), ((3,), (3, 4), (4,)), ((3,), (3, 1), (3, 4)), ((3,),) * 3],
    ),
    token_logprobs: (
        lambda x, i: token_logprobs(x, i.long()),
        [((3, 4, 7), (3, 4)), ((7,), ())],
        [((3, 4, 7), (3, 1)), ((3, 4, 7), (4,)), ((3, 7), (3, 1))],
    ),
    at_temperature: (lambda x: at_temperature(x, 0.5), [((3, 7),), ((7,),)], [((),)]),
    entropy: (entropy, [((3, 7),), ((7,),)], [((),)]),
    masked_infinite: (masked_infinite, [((3, 4),), ((),)], []),  # one tensor of any shape
    masked: (masked, [((3, 4),) * 2, ((),) * 2], [((3,), (3, 1)), ((3, 4), (4,)), ((3, 4), (3, 1))]),
    masked_sum: (
        masked_sum,
        [((3, 4), (3, 4), 2.0), ((3, 4), (3, 4), ())],
        [((3, 4), (3, 4), (3,)), ((3, 4), (4,), 2.0), ((3,), (3, 1), 2.0)],
    ),
    masked_mean: (masked_mean, [((3, 4),) * 2], [((3, 4), (4,)), ((3,), (3, 1))]),
    whiten: (whiten, [((3, 4),) * 2], [((3, 4), (4,)), ((3,), (3, 1))]),
    clipped_surrogate: (
        lambda x, y, a, m: clipped_surrogate(x, y, a, m, 0.2),
        [((3, 4),) * 4],
        [
            *[((3, 4), (3, 1), (3, 4), (3, 4)), ((3, 4), (3, 4), (3, 1), (3, 4)), ((3, 4), (3, 4), (3, 4), (4,))],
            *[((4,), (3, 4), (3, 4), (3, 4)), ((4,),) * 4],
        ],
    ),
    clipped_weight: (
        lambda x, y, a, m: clipped_weight(x, y, a, m, 0.2),
        [((3, 4),) * 4],
        [
            *[((3, 4), (3, 1), (3, 4), (3, 4)), ((3, 4), (3, 4), (3, 1), (3, 4)), ((3, 4), (3, 4), (3, 4), (4,))],
            *[((4,), (3, 4), (3, 4), (3, 4)), ((4,),) * 4],
        ],
    ),
    ratio_figures: (
        lambda x, y, m: ratio_figures(x, y, m)["kl"],
        [((3, 4),) * 3],
        [((3, 4), (3, 1), (3, 4)), ((3, 4), (3, 4), (3, 1)), ((4,),) * 3],
    ),
    clipped_value: (
        lambda v, o, r, m: clipped_value(v, o, r, m, 0.2),
        [((3, 4),) * 4],
        [
            *[((3, 4), (3, 1), (3, 4), (3, 4)), ((3, 4), (3, 4), (3,), (3, 4)), ((3, 4), (3, 4), (3, 4), (4,))],
            *[((3,), (3, 4), (3, 4), (3, 4)), ((4,),) * 4],
        ],
    ),
    token_weights: (lambda m: token_weights(m, "token", 7.0, 3, 4), [((3, 4),)], [((4,),), ((2, 3, 4),)]),
    bradley_terry: (
        bradley_terry,
        [((3,), (3,), 1.0), ((3,), (3,), (3,)), ((), (), 0.5)],
        [((3,), (3, 1), 1.0), ((3,), (3,), (3, 1)), ((3,), (1,), 1.0), ((3,), (3,), (1,)), ((3,), (3,), ())],
    ),
    dpo_margin: (
        lambda a, b, c, d: dpo_margin(a, b, c, d, 0.1),
        [((3,),) * 4],
        [((3,), (3, 1), (3,), (3,)), ((3,), (3,), (1,), (3,)), ((3,), (3,), (3,), (3, 1))],
    ),
    dpo: (dpo, [((3,), 1.0), ((3,), (3,))], [((3,), (3, 1)), ((3,), (1,)), ((3,), ())]),
    robust_dpo: (
        lambda margin, p: robust_dpo(margin, p, 0.1),
        [((3,), 1.0), ((3,), (3,))],
        [((3,), (3, 1)), ((3,), (1,)), ((3,), ())],
    ),
    ipo: (
        lambda margin, p: ipo(margin, p, 0.1),
        [((3,), 1.0), ((3,), (3,))],
        [((3,), (3, 1)), ((3,), (1,)), ((3,), ())],
    ),
    simpo: (
        lambda a, b, p: simpo(a, b, p, 2.0, 1.0),
        [((3,), (3,), 1.0), ((3,), (3,), (3,))],
        [((3,), (3, 1), 1.0), ((3,), (3,), (3, 1)), ((3,), (1,), 1.0)],
    ),
    direct: (
        lambda x, y, n, p: direct(x, y, n, p, **DIRECT),
        [((6,), (6,), (6,), (3,))],
        [
            *[((6,), (6,), (6,), (3, 1)), ((6,), (6,), (6,), (6,)), ((6,), (6,), (6,), (1,)), ((6,), (6,), (6,), ())],
            *[((6,), (6, 1), (6,), (3,)), ((6,), (6,), (2,), (3,)), ((6,), (2,), (6,), (3,)), ((3, 2),) * 3 + ((3,),)],
        ],
    ),
    labels: (lambda a, b: labels(a, b, "soft"), [((3,), (3,))], [((3,), (3, 1)), ((3,), (1,)), ((3,), ())]),
    cross_entropy: (
        cross_entropy,
        [((3, 4), (3, 4), 2.0), ((3, 4), (3, 4), ())],
        [((3, 4), (4,), 2.0), ((3, 4), (3, 1), 2.0), ((4,), (4,), 2.0), ((3, 4), (3, 4), (3,))],
    ),
}
MASKS = frozenset({"m", "mask"})


def arguments(function: Callable[..., Any], shapes: tuple[Shape, ...]) -> list[Tensor | float]:
    """Ones of these shapes; bool where the parameter is a mask."""
    names = list(inspect.signature(function).parameters)
    return [
        torch.ones(shape, dtype=torch.bool if name in MASKS else torch.float32) if isinstance(shape, tuple) else shape
        for name, shape in zip(names, shapes, strict=False)
    ]


@pytest.mark.parametrize("loss", TABLE, ids=lambda loss: loss.__name__)
def test_right_shapes_pass_and_wrong_ones_are_refused(loss: Callable[..., Any]) -> None:
    function, right, wrong = TABLE[loss]
    for shapes in right:
        function(*arguments(function, shapes))
    for shapes in wrong:
        with pytest.raises(AssertionError, match=r"expected|a group has"):
            function(*arguments(function, shapes))


def test_no_public_loss_is_missing_from_the_table() -> None:
    names = [m.name for m in pkgutil.iter_modules(losses.__path__) if m.name != "shapes"]
    modules = [importlib.import_module(f"trueward.losses.{name}") for name in names]
    public = {
        function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == set(TABLE)


def test_the_message_says_both_shapes() -> None:
    with pytest.raises(AssertionError, match=r"expected \[3\], got \[3, 1\]"):
        bradley_terry(torch.zeros(3), torch.zeros(3, 1))
    with pytest.raises(AssertionError, match=r"expected 2 dimensions, got \[3\]"):
        token_weights(torch.ones(3, dtype=torch.bool), "token", 1.0, 1, 1)


def test_torch_compile_keeps_the_losses_and_their_checks_in_one_graph() -> None:
    def loss(x: Tensor, y: Tensor, advantages: Tensor, mask: Tensor) -> Tensor:
        return clipped_surrogate(x, y, advantages, mask, 0.2)[0].sum() + masked_mean(kl.k3(x, y), mask)

    compiled = torch.compile(loss, backend="eager", fullgraph=True, dynamic=True)
    for width in (4, 6):
        x, y, advantages = torch.randn(3, 3, width, generator=torch.Generator().manual_seed(width))
        mask = torch.ones(3, width, dtype=torch.bool)
        assert torch.equal(compiled(x, y, advantages, mask), loss(x, y, advantages, mask))
    with pytest.raises(AssertionError, match="expected"):
        torch.compile(loss, backend="eager")(x, y, advantages, mask[:, :1])


def test_a_check_costs_next_to_nothing() -> None:
    x = torch.zeros(3, 4)
    begin = time.perf_counter()
    for _ in range(1000):
        require(x.shape, x, x, x, rank=2)
    assert time.perf_counter() - begin < 0.2  # about 1 µs each; an operation on [3, 4] takes several
