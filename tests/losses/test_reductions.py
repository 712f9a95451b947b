"""Sums and means over a mask, and cross-entropy, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trueward.losses.logprobs import token_logprobs
from trueward.losses.masks import masked, masked_mean, masked_sum, whiten
from trueward.losses.supervised import cross_entropy

MASK = torch.tensor([[True, False, True], [False, False, True]])
X = torch.tensor([[1.0, math.nan, 3.0], [math.inf, -7.0, 11.0]], dtype=torch.float64)


def test_by_hand() -> None:
    assert masked(X, MASK).tolist() == [[1.0, 0.0, 3.0], [0.0, 0.0, 11.0]]
    assert masked_sum(X, MASK).item() == 15
    assert masked_sum(X, MASK, 4.0).item() == 15 / 4
    assert masked_mean(X, MASK).item() == 5
    one = torch.tensor([[False, False, True], [False, False, False]])
    assert masked_mean(X, one).item() == 3  # one token: not a half of it
    assert whiten(X, one, shift_mean=False)[0, 2].item() == 3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64])
def test_the_type_of_the_numbers_is_kept(dtype: torch.dtype) -> None:
    x = torch.tensor([[1, 2, 3], [4, 5, 6]]).to(dtype)
    assert masked(x, MASK).dtype == dtype
    assert masked(x, MASK).tolist() == [[1, 0, 3], [0, 0, 6]]


def test_no_gradient_flows_from_outside() -> None:
    x = X.clone().requires_grad_()
    masked_sum(x, MASK, 2.0).backward()
    assert x.grad is not None
    assert x.grad.tolist() == [[0.5, 0.0, 0.5], [0.0, 0.0, 0.5]]


def test_cross_entropy_by_hand() -> None:
    # probabilities ½, ¼, ¼
    logits = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log().expand(2, 3, 3)
    ids = torch.tensor([[0, 1, 2], [0, 0, 1]])
    logprobs = token_logprobs(logits, ids)
    summed = math.log(2) + math.log(4) + math.log(4)
    assert cross_entropy(logprobs, MASK, 1.0).item() == pytest.approx(summed, abs=1e-12)
    assert cross_entropy(logprobs, MASK, torch.tensor(3.0)).item() == pytest.approx(summed / 3, abs=1e-12)
