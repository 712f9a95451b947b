"""Log π/π_ref of each token, against plain forward passes; where tokens end, against texts whose ends are known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from trueward.batches import Rollout
from trueward.engines import sampler
from trueward.engines.sampler import Sampling
from trueward.instruments.gauge import Gauge
from trueward.instruments.token_strip import ends, strip
from trueward.models import loading


def test_each_tokens_ratio_is_that_of_two_forward_passes(
    make_policy: Callable[..., Any], toy_prompts: list[Any]
) -> None:
    few = ["this", "the", "a"]
    policy, reference = make_policy(0, None, few), make_policy(1, None, few)
    drawn: list[Rollout] = []

    def sample(network: Any, prompts: Any, generator: torch.Generator) -> Rollout:
        drawn.append(sampler.sample(network, prompts, Sampling(0.7, 12, 64), generator))
        return drawn[-1]

    gauge = Gauge(reference, None, [], sample, 0.7, 0, 40)  # several micro-batches, in another order than the answers
    found = gauge.measure(policy, toy_prompts, "x", by_token=True)
    tokens = drawn[0].tokens
    with torch.no_grad():
        ours, theirs = (torch.log_softmax(n.model(tokens.ids).logits.double() / 0.7, -1) for n in (policy, reference))
    ratio = (ours - theirs)[:, :-1].gather(2, tokens.ids[:, 1:, None])[..., 0]
    mask = tokens.response_mask[:, 1:]
    for i, row in enumerate(found.samples):
        strip_of = row["tokens"]
        assert strip_of["log_ratio"] == pytest.approx(ratio[i][mask[i]].tolist(), abs=6e-4)  # rounded to 3 digits
        at = [0, *strip_of["ends"]]
        pieces = [row["response"][a:b] for a, b in pairwise(at)]
        words = [policy.tokenizer.decode([t], skip_special_tokens=True) for t in tokens.ids[i][tokens.response_mask[i]]]
        assert [piece.strip() for piece in pieces] == [word.strip() for word in words]
        assert "".join(pieces) == row["response"]
    mean = np.mean([sum(row["tokens"]["log_ratio"]) for row in found.samples])
    assert mean == pytest.approx(found.row["kl_k1"], abs=0.01)
    assert "tokens" not in gauge.measure(policy, toy_prompts, "x").samples[0]


def test_tokens_of_part_of_a_character_end_where_it_begins() -> None:
    """Byte-level tokens: a character of several bytes belongs to the token that completes it."""
    tokenizer = loading.causal("trueward:base", 0, torch.device("cpu")).tokenizer
    text = "a café, 😀 and 日本"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    found = ends(tokenizer, ids, text)
    assert found == sorted(found)
    assert found[-1] == found[-2] == len(text)  # the end of the sequence is no text
    one_by_one = [tokenizer.decode([i], skip_special_tokens=True) for i in ids]
    for piece, start, end in zip(one_by_one, [0, *found], found, strict=False):
        if "\ufffd" not in piece:
            assert text[start:end].endswith(piece)
    assert strip(tokenizer, ids, [0.12345] * len(ids), text)["log_ratio"] == [0.123] * len(ids)
    assert ends(tokenizer, [], "") == []
