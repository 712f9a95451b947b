"""Reductions over the tokens that a policy chose. Whatever stands outside the mask, NaN included, has no effect."""

from __future__ import annotations

import torch
from torch import Tensor

from trueward.losses.shapes import require


def masked(x: Tensor, mask: Tensor) -> Tensor:
    """`x` where `mask`, exactly 0 elsewhere; no gradient, not even NaN, flows through what is outside.

    x: any shape. mask: bool, of the same shape.
    """
    require(x.shape, mask)
    return torch.where(mask, x, torch.zeros((), dtype=x.dtype, device=x.device))


def masked_sum(x: Tensor, mask: Tensor, denominator: Tensor | float = 1.0) -> Tensor:
    """Sum over the mask, divided by a count that belongs to the whole optimiser step. Scalar.

    x, mask: any one shape. denominator: a number, or a tensor [].
    """
    require((), denominator)
    return masked(x, mask).sum() / denominator


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over all tokens in the mask (the token mean). Scalar; 0 if the mask is empty. x, mask: any one shape."""
    return masked(x, mask).sum() / mask.sum().clamp(min=1)


def whiten(x: Tensor, mask: Tensor, *, shift_mean: bool = True, epsilon: float = 1e-8) -> Tensor:
    """`x` with mean 0 (if `shift_mean`) and SD 1 over the mask (population SD), 0 outside.

    x, mask: any one shape. Constant input gives 0 (or the constant), not NaN.
    """
    count = mask.sum().clamp(min=1)
    mean = masked(x, mask).sum() / count
    variance = masked((masked(x, mask) - mean) ** 2, mask).sum() / count
    white = (masked(x, mask) - mean) * torch.rsqrt(variance + epsilon)
    return masked(white if shift_mean else white + mean, mask)
