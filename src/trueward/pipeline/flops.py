"""Floating-point operations of matrix products and attention, counted by torch's FlopCounterMode as they are executed.

Torch has no formula for attention on the CPU, nor for the oneDNN products of the sampler; they are added here. A
multiplication and an addition are two operations. As in torch's own formulas, attention counts every query with every key,
whatever the mask leaves out, and its backward pass recomputes the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

Shape = Sequence[int]


def flop_counter() -> FlopCounterMode:
    """A context that counts operations; `get_total_flops()` inside of it or afterwards."""
    return FlopCounterMode(display=False, custom_mapping=formulas())


def formulas() -> dict[Any, Callable[..., int]]:
    """Formulas by operator, called with the shapes of its arguments; operators that this build of torch lacks are left out."""
    known: dict[Any, Callable[..., int]] = {}
    for room, name, formula in (
        ("aten", "_scaled_dot_product_flash_attention_for_cpu", attention),
        ("aten", "_scaled_dot_product_flash_attention_for_cpu_backward", attention_backward),
        ("mkldnn", "_linear_pointwise", linear),
        ("onednn", "qlinear_pointwise", linear),
    ):
        operator = getattr(getattr(torch.ops, room), name, None)
        if operator is not None:
            known[operator] = formula
    return known


def attention(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """q·kᵀ and p·v for q [B, H, T, D], k [B, K, S, D], v [B, K, S, E]; groups of heads share a k and v."""
    batch, heads, queries, size = query
    return 2 * batch * heads * queries * key[-2] * (size + value[-1])


def attention_backward(grad: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """The scores again, and the gradients of p, v, q and k."""
    batch, heads, queries, size = query
    return 2 * batch * heads * queries * key[-2] * (3 * size + 2 * value[-1])


def linear(x: Shape, *_: Any, out_shape: Shape, **__: Any) -> int:
    """x·Wᵀ for x [..., k] -> [..., m]; the weights are in a layout that doesn't show their shape."""
    return 2 * prod(x) * out_shape[-1]
