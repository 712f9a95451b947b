"""Log π/π_ref of each token, against plain forward passes; where tokens end, against texts whose ends are known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from trueward.batches import Rollout
from trueward.data.collate import texts
from trueward.evaluation.evaluator import Evaluator
from trueward.evaluation.token_strip import ends, strip
from trueward.models import loading
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams


def test_each_tokens_ratio_is_that_of_two_forward_passes(
    make_policy: Callable[..., Any], toy_prompts: list[Any]
) -> None:
    few = ["this", "the", "a"]
    policy, reference = make_policy(0, None, few), make_policy(1, None, few)
    drawn: list[Rollout] = []

    def sample(network: Any, prompts: Any, draws: Draws) -> Rollout:
        drawn.append(sampler.sample(network, prompts, SamplingParams(0.7, 12, 64), draws))
        return drawn[-1]

    evaluator = Evaluator(
        reference, None, [], sample, 0.7, 0, 40
    )  # several micro-batches, in another order than the answers
    measured = evaluator.measure(policy, toy_prompts, "x", by_token=True)
    tokens = drawn[0].tokens
    with torch.no_grad():
        ours, theirs = (torch.log_softmax(n.model(tokens.ids).logits.double() / 0.7, -1) for n in (policy, reference))
    ratio = (ours - theirs)[:, :-1].gather(2, tokens.ids[:, 1:, None])[..., 0]
    mask = tokens.response_mask[:, 1:]
    for i, row in enumerate(measured.samples):
        strip_of = row["tokens"]
        assert strip_of["log_ratio"] == pytest.approx(ratio[i][mask[i]].tolist(), abs=6e-4)  # rounded to 3 digits
        at = [0, *strip_of["ends"]]
        pieces = [row["response"][a:b] for a, b in pairwise(at)]
        words = texts(policy.tokenizer, [[t] for t in tokens.ids[i][tokens.response_mask[i]].tolist()])
        assert [piece.strip() for piece in pieces] == [word.strip() for word in words]
        assert "".join(pieces) == row["response"]
    mean = np.mean([sum(row["tokens"]["log_ratio"]) for row in measured.samples])
    assert mean == pytest.approx(measured.row["kl_k1"], abs=0.01)
    assert "tokens" not in evaluator.measure(policy, toy_prompts, "x").samples[0]


def test_tokens_of_part_of_a_character_end_where_it_begins() -> None:
    """Byte-level tokens: a character of several bytes belongs to the token that completes it."""
    tokenizer = loading.causal("trueward:base", 0, torch.device("cpu")).tokenizer
    text = "a café, 😀 and 日本"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    positions = ends(tokenizer, ids, text)
    assert positions == sorted(positions)
    assert positions[-1] == positions[-2] == len(text)  # the end of the sequence is no text
    one_by_one = [tokenizer.decode([i], skip_special_tokens=True) for i in ids]
    for piece, start, end in zip(one_by_one, [0, *positions], positions, strict=False):
        if "\ufffd" not in piece:
            assert text[start:end].endswith(piece)
    assert strip(tokenizer, ids, [0.12345] * len(ids), text)["log_ratio"] == [0.123] * len(ids)
    assert ends(tokenizer, [], "") == []
