"""What is made inside a loss stands on the device of its arguments and has their type."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trueward.losses import kl
from trueward.losses.advantages import gae, group_advantages
from trueward.losses.logprobs import entropy, token_logprobs
from trueward.losses.masks import masked, masked_mean, whiten
from trueward.losses.policy import clipped_surrogate, clipped_value, clipped_weight, token_weights

META = torch.device("meta")  # has shapes and no numbers: an operation with a tensor from elsewhere is an error


def empty(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(*shape, dtype=dtype, device=META)


def test_every_function_stays_on_its_device() -> None:
    x, mask, logits = empty(3, 4), empty(3, 4, dtype=torch.bool), empty(3, 4, 7)
    ids = empty(3, 4, dtype=torch.long)
    got = [
        masked(x, mask),
        masked_mean(x, mask),
        whiten(x, mask),
        token_logprobs(logits, ids, 0.7),
        entropy(logits, 0.7),
        kl.exact(logits, logits, 0.7),
        kl.token_rewards(empty(3), x, mask, 0.1),
        *gae(x, x, mask, 0.9, 0.9),
        group_advantages(x, "others", "sample"),
        clipped_surrogate(x, x, x, mask, 0.2, 0.3, 2.0, whole_sequence=True)[0],
        clipped_weight(x, x, x, mask, 0.2)[0],
        clipped_value(x, x, x, mask, 0.2)[0],
        *(token_weights(mask, reducer, 7.0, 3, 5) for reducer in ("token", "sequence", "constant")),
    ]
    assert {tensor.device.type for tensor in got} == {"meta"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scores", [torch.float32, torch.float64])
def test_rewards_by_token_have_the_type_of_the_kl(dtype: torch.dtype, scores: torch.dtype) -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    rewards = kl.token_rewards(torch.ones(2, dtype=scores), torch.zeros(2, 3, dtype=dtype), mask, 0.1)
    assert rewards.dtype == dtype
    assert rewards.tolist() == [[0.0, 0.0, 1.0]] * 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_flags_have_the_type_of_their_figures(dtype: torch.dtype) -> None:
    x, mask = torch.zeros(2, 3, dtype=dtype), torch.ones(2, 3, dtype=torch.bool)
    assert clipped_value(x, x, x, mask, 0.2)[1].dtype == dtype
    for seen in (clipped_surrogate(x, x, x, mask, 0.2)[1], clipped_weight(x, x, x, mask, 0.2)[1]):
        assert {figure.dtype for figure in seen.values()} == {dtype}


def test_an_answer_of_one_token() -> None:
    one = torch.ones(2, 1, dtype=torch.bool)
    advantages, returns = gae(torch.tensor([[2.0], [3.0]]), torch.tensor([[0.5], [1.0]]), one, 0.9, 0.9)
    assert advantages.tolist() == [[1.5], [2.0]]
    assert returns.tolist() == [[2.0], [3.0]]


def test_the_temperature_is_1_unless_it_is_said() -> None:
    logits = torch.tensor([0.0, 1.0, 3.0], dtype=torch.float64)
    reference = torch.tensor([1.0, 0.0, 0.5], dtype=torch.float64)
    assert entropy(logits).item() == entropy(logits, 1.0).item() != entropy(logits, 2.0).item()
    assert kl.exact(logits, reference).item() == kl.exact(logits, reference, 1.0).item()
    token = torch.tensor(1)
    assert token_logprobs(logits, token).item() == token_logprobs(logits, token, 1.0).item()
