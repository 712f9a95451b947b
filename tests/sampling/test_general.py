"""The general path's cache: rows are filled while others are in the middle, and each is as if it were alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling import general, sampler
from trueward.sampling.draws import Draws
from trueward.sampling.general import GeneralDecoder
from trueward.sampling.sampler import SamplingParams, sample

SIZES: dict[str, Any] = {
    "vocab_size": 40,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,
}
TRUNK = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
FAMILIES: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 40},  # positions are learnt
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 4},  # distances, by the attention mask
    "gemma2": {**TRUNK, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 4},  # distances again, in a window
}
FIRST, SECOND = [[5, 6, 7], [8, 9]], [[10, 11, 12, 13, 14, 15, 16, 17, 18], [19, 20]]


def padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([len(row) for row in rows])
    return torch.tensor([row + [0] * (int(lengths.max()) - len(row)) for row in rows]), lengths


@torch.no_grad()
@pytest.mark.parametrize("family", FAMILIES)
def test_each_row_is_as_if_it_were_alone(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rows, one of them leaves; two more come, the first of them longer than all that is there; columns run out."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **SIZES, **FAMILIES[family])).eval()
    monkeypatch.setattr(general, "SPARE", 1)
    moves = []
    inner = GeneralDecoder._move
    monkeypatch.setattr(GeneralDecoder, "_move", lambda self, start: (moves.append(start), inner(self, start)))
    decoder = GeneralDecoder(model)
    decoder.start(3, 14)
    rows = [list(row) for row in FIRST]

    def check(logits: torch.Tensor) -> None:
        assert len(logits) == len(rows)
        for found, row in zip(logits, rows, strict=True):
            expected = model(input_ids=torch.tensor([row])).logits[0, -1]
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)

    def step(token: int) -> None:
        for i, row in enumerate(rows):
            row.append(token + i)
        ids, at = torch.tensor([row[-1] for row in rows]), torch.tensor([len(row) - 1 for row in rows])
        check(decoder.step(ids, at, max(map(len, rows))))

    check(decoder.prefill(torch.tensor([0, 1]), *padded(rows)))
    step(21)
    decoder.keep(torch.tensor([1]))
    del rows[0]
    step(23)
    fresh = decoder.prefill(torch.tensor([1, 2]), *padded(SECOND))
    old, rows = rows, [list(row) for row in SECOND]
    check(fresh)
    rows = old + rows
    for token in (24, 27):
        step(token)
    decoder.keep(torch.tensor([0, 2]))
    del rows[1]
    for token in range(25, 33):
        step(token)
    assert moves[0] > 0, "to the right, since what came was longer"
    assert moves[1:], "to the beginning, since the columns had run out"
    assert not any(moves[1:])
    decoder.keep(torch.arange(0))
    rows = [list(FIRST[0])]
    check(decoder.prefill(torch.tensor([0]), *padded(rows)))
    step(30)


def test_a_row_that_ends_makes_room_for_the_next_prompt(
    make_policy: Callable[..., Network], toy_prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fewer steps than groups that wait for their longest answers would take; and the same answers as one by one."""
    network = make_policy(words=["this", "the", "a"])  # so that some end early
    monkeypatch.setattr(sampler, "decoder_for", lambda network, quantize="none": GeneralDecoder(network.model))
    steps: list[int] = []
    inner = GeneralDecoder.step
    monkeypatch.setattr(
        GeneralDecoder,
        "step",
        lambda self, ids, positions, width: (steps.append(len(ids)), inner(self, ids, positions, width))[1],
    )
    prompts = toy_prompts[:16]
    rollout = sample(network, prompts, SamplingParams(max_new_tokens=9, max_num_seqs=4), Draws(7))
    answers = rollout.tokens.response_lengths
    assert len(steps) < sum(int(part.max()) for part in answers.sort().values.split(4)), "not even the best groups"
    alone = sample(network, prompts, SamplingParams(max_new_tokens=9, max_num_seqs=1), Draws(7))
    assert alone.tokens.ids.equal(rollout.tokens.ids)
    torch.testing.assert_close(alone.logprobs, rollout.logprobs, atol=1e-5, rtol=0)
