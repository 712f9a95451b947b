"""Losses on comparisons."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bradley_terry(first: Tensor, second: Tensor, probability: Tensor | float = 1.0) -> Tensor:
    """−p·log σ(r_1 − r_2) − (1 − p)·log σ(r_2 − r_1), unreduced (Bradley & Terry 1952; InstructGPT eq. 1).

    first, second: rewards, any one shape. probability: that the first response is the better one; a tie is .5, and its
    loss the mean of both directions. At equal rewards the loss is ln 2, whatever the label.
    """
    margin = first - second
    return -(probability * F.logsigmoid(margin) + (1.0 - probability) * F.logsigmoid(-margin))
