"""Next-token cross-entropy."""

from __future__ import annotations

from torch import Tensor

from trueward.losses.masks import masked_sum
from trueward.losses.shapes import require


def cross_entropy(logprobs: Tensor, mask: Tensor, denominator: Tensor | float) -> Tensor:
    """−Σ log π(token) over the mask / denominator, in nats: the token mean when the denominator counts the step's tokens.

    logprobs, mask: [B, T]. denominator: a number, or a tensor [].
    """
    require(logprobs.shape, mask, rank=2)
    return -masked_sum(logprobs, mask, denominator)
