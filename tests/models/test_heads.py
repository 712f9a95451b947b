"""What is read off a model, and that padding has no part in it: log-probs, values, scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.batches import Tokens, micro_batches
from trueward.losses.supervised import cross_entropy
from trueward.models import heads
from trueward.models.network import Network

MakeNetwork = Callable[..., Network]
PAIRS = [([1, 9, 12, 7], [20, 31, 2]), ([1, 8], [25, 14, 40, 33, 2]), ([1, 30, 11], [17])]


def clean() -> Tokens:
    return Tokens.collate(PAIRS, pad=0)


def with_other_padding(tokens: Tokens, seed: int) -> Tokens:
    """Other ids where there is padding, and three columns more of it."""
    draw = torch.Generator().manual_seed(seed)
    more = torch.zeros(len(tokens), 3, dtype=torch.long)
    ids = torch.cat([tokens.ids, more], dim=1)
    outside = torch.arange(ids.shape[1]) >= tokens.lengths[:, None]
    garbage = torch.randint(3, 60, ids.shape, generator=draw)
    return Tokens(torch.where(outside, garbage, ids), tokens.prompt_lengths, tokens.response_lengths)


def gradient(model: Any, loss: Tensor) -> Tensor:
    result = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return torch.cat([g.flatten() for g in result if g is not None])


def test_masks_and_lengths_by_hand() -> None:
    tokens = clean()
    assert tokens.lengths.tolist() == [7, 7, 4]
    assert tokens.response_mask.long().tolist() == [
        [0, 0, 0, 0, 1, 1, 1],
        [0, 0, 1, 1, 1, 1, 1],
        [0, 0, 0, 1, 0, 0, 0],
    ]
    assert tokens.before.long().tolist() == [
        [0, 0, 0, 1, 1, 1, 0],
        [0, 1, 1, 1, 1, 1, 0],
        [0, 0, 1, 0, 0, 0, 0],
    ]
    short = tokens.take(torch.tensor([2]))
    assert short.ids.tolist() == [[1, 30, 11, 17]]


def test_micro_batches_hold_every_row_once_within_the_budget() -> None:
    lengths = torch.tensor([5, 9, 1, 9, 3, 20, 4])
    for budget in (1, 9, 18, 30, 1000):
        groups = micro_batches(lengths, budget)
        assert sorted(torch.cat(groups).tolist()) == list(range(7))
        for group in groups:
            assert len(group) == 1 or len(group) * int(lengths[group].max()) <= budget
    assert len(micro_batches(lengths, 1)) == 7
    assert len(micro_batches(lengths, 1000)) == 1


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_are_those_of_one_sequence_at_a_time(make_policy: MakeNetwork, temperature: float) -> None:
    model = make_policy(dtype=torch.float64).model
    got = heads.response_logprobs(model, clean(), temperature)
    for row, (prompt, response) in enumerate(PAIRS):
        logits = model(input_ids=torch.tensor([prompt + response])).logits[0] / temperature
        logp = logits.log_softmax(-1)
        expected = torch.zeros(7, dtype=torch.float64)
        for place, token in enumerate(response, start=len(prompt)):
            expected[place] = logp[place - 1, token]
        torch.testing.assert_close(got[row], expected, rtol=0, atol=1e-12)


def test_values_and_scores_are_those_of_one_sequence_at_a_time(make_reward: MakeNetwork) -> None:
    model = make_reward(dtype=torch.float64).model
    values, scores = heads.response_values(model, clean()), heads.sequence_scores(model, clean())
    for row, (prompt, response) in enumerate(PAIRS):
        hidden = model.model(input_ids=torch.tensor([prompt + response])).last_hidden_state[0]
        scalar = (hidden @ model.score.weight.T)[:, 0]
        expected = torch.zeros(7, dtype=torch.float64)
        end = len(prompt) + len(response)
        expected[len(prompt) : end] = scalar[len(prompt) - 1 : end - 1]
        torch.testing.assert_close(values[row], expected, rtol=0, atol=1e-12)
        assert scores[row].item() == pytest.approx(scalar[end - 1].item(), abs=1e-12)


@pytest.mark.parametrize("seed", [0, 1])
def test_ids_in_the_padding_change_neither_loss_nor_gradient(
    make_policy: MakeNetwork, make_reward: MakeNetwork, seed: int
) -> None:
    tokens, other = clean(), with_other_padding(clean(), seed)
    policy, reward = make_policy(dtype=torch.float64).model, make_reward(dtype=torch.float64).model
    results = []
    for batch in (tokens, other):
        nll = cross_entropy(heads.response_logprobs(policy, batch), batch.response_mask, 9.0)
        value = (heads.response_values(reward, batch) ** 2).sum()
        score = (heads.sequence_scores(reward, batch) ** 2).sum()
        losses = torch.stack([nll, value, score]).detach()
        results.append((losses, gradient(policy, nll), gradient(reward, value + score)))
    for one, padded in zip(*results, strict=True):
        torch.testing.assert_close(one, padded, rtol=0, atol=1e-12)


def test_entropy_comes_without_gradient_and_where_tokens_were_chosen(make_policy: MakeNetwork) -> None:
    model = make_policy().model
    tokens = clean()
    _, entropy = heads.response_logprobs_and_entropy(model, tokens)
    assert not entropy.requires_grad
    assert (entropy[~tokens.response_mask] == 0).all()
    logp = model(input_ids=tokens.ids[:1]).logits[0].log_softmax(-1)
    expected = -(logp.exp() * logp).sum(-1)[3:6]
    torch.testing.assert_close(entropy[0, 4:7], expected.detach(), rtol=0, atol=1e-5)


def test_the_logits_are_those_of_the_models_own_forward_pass(make_policy: MakeNetwork) -> None:
    model = make_policy(dtype=torch.float64).model
    plain = heads.response_logits(model, clean())
    whole = model(input_ids=clean().ids).logits[clean().before]
    torch.testing.assert_close(plain, whole, rtol=0, atol=1e-12)
