"""Rotary embeddings of every kind: which path takes them, and that all numbers are transformers' own, on short texts and long.

*Own*: a row's log-probs by the model's forward pass over that row alone. Angles that depend on the length of the text would
differ between a sampler that keeps keys and a learner that reads the whole, so such a text isn't taken.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from trueward.data import toy
from trueward.models import heads, tiny
from trueward.models.fast import packed
from trueward.models.network import Network, context_length
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.fast import FastDecoder
from trueward.sampling.sampler import SamplingParams, sample

ORIGINAL, LONGEST, THETA = 14, 48, 100.0
SIZES: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": LONGEST, "initializer_range": 0.2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": ORIGINAL}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": ORIGINAL,
}  # fmt: skip
LONGROPE = {
    "rope_type": "longrope", "factor": 4.0, "original_max_position_embeddings": ORIGINAL,
    "short_factor": [1.0, 1.1, 1.2, 1.3], "long_factor": [2.0, 3.0, 4.0, 5.0],
}  # fmt: skip
PARTLY = {"rope_type": "default", "partial_rotary_factor": 0.5}
CASES: dict[str, tuple[str, dict[str, Any], bool, int]] = {  # family, angles, whether the fast paths take it, its context
    "llama, default": ("llama", {"rope_type": "default"}, True, LONGEST),
    "llama, linear": ("llama", {"rope_type": "linear", "factor": 3.0}, True, LONGEST),
    "llama, llama3": ("llama", LLAMA3, True, LONGEST),
    "llama, yarn": ("llama", YARN, False, LONGEST),
    "llama, dynamic": ("llama", {"rope_type": "dynamic", "factor": 3.0}, False, LONGEST),
    "llama, longrope": ("llama", LONGROPE, False, ORIGINAL),
    "qwen2, yarn": ("qwen2", YARN, False, LONGEST),
    "qwen2, llama3": ("qwen2", LLAMA3, True, LONGEST),
    "qwen2, dynamic": ("qwen2", {"rope_type": "dynamic", "factor": 3.0}, False, LONGEST),
    "phi3, in part": ("phi3", PARTLY, True, LONGEST),
    "phi3, longrope": ("phi3", LONGROPE, False, ORIGINAL),
    "phi3, longrope in part": (
        "phi3", {**LONGROPE, "partial_rotary_factor": 0.5, "short_factor": [1.0, 1.2], "long_factor": [2.0, 5.0]}, False,
        ORIGINAL,
    ),
}  # fmt: skip
PROMPTS = [Prompt(text=prompt) for prompt, _ in toy.reviews(8, seed=5)]


def make(name: str, longest: int = LONGEST) -> Network:
    family, angles, _, _ = CASES[name]
    torch.manual_seed(2)
    tokenizer = tiny.word_tokenizer(toy.words())
    more: dict[str, Any] = {"rope_parameters": {"rope_theta": THETA, **angles}, "max_position_embeddings": longest}
    if angles.get("rope_type") == "longrope":
        more["original_max_position_embeddings"] = ORIGINAL
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), **{**SIZES, **more})
    return Network(AutoModelForCausalLM.from_config(config).float().eval(), tokenizer)


@torch.no_grad()
def own(model: Any, ids: Tensor, length: int, start: int) -> Tensor:
    """Log-probs of the row's tokens from `start`, by transformers, the row alone."""
    logits = model(input_ids=ids[None, :length], use_cache=False).logits[0, start - 1 : length - 1]
    found: Tensor = logits.log_softmax(-1).gather(1, ids[start:length, None])[:, 0]
    return found


@pytest.mark.parametrize("name", CASES)
def test_sampler_and_learner_give_transformers_own_numbers(name: str) -> None:
    _, _, is_fast, context = CASES[name]
    network = make(name)
    assert network.context == context
    assert packed.covers(network.model) == is_fast
    assert FastDecoder.covers(network.model) == is_fast
    longest = []
    for answer in (8,) if context == ORIGINAL else (4, 24):
        rollout = sample(network, PROMPTS, SamplingParams(max_new_tokens=answer, max_num_seqs=3), Draws(1))
        tokens = rollout.tokens
        starts = tokens.prompt_lengths.tolist()
        lengths = (tokens.prompt_lengths + tokens.response_lengths).tolist()
        longest.append(max(lengths))
        expected = torch.cat([own(network.model, *row) for row in zip(tokens.ids, lengths, starts, strict=True)])
        mask = tokens.response_mask
        learner = heads.response_logprobs(network.model, tokens).detach()
        torch.testing.assert_close(learner[mask], expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(rollout.logprobs[mask], expected, rtol=0, atol=1e-4)
    assert longest[0] <= ORIGINAL
    assert context == ORIGINAL or longest[-1] > ORIGINAL, "texts shorter and longer than the original context"


@pytest.mark.parametrize("name", ["llama, longrope", "phi3, longrope in part"])
def test_why_a_text_with_longrope_ends_at_the_original_context(name: str) -> None:
    """One token more, and those before it have other log-probs: nobody could have drawn from both."""
    network = make(name)
    ids = torch.arange(3, 3 + ORIGINAL + 1)
    short, longer = (own(network.model, ids, length, 1) for length in (ORIGINAL, ORIGINAL + 1))
    assert (short - longer[: len(short)]).abs().max() > 1e-3
    again = own(network.model, ids, ORIGINAL, 1)
    assert again.equal(short), "a long text leaves nothing behind"


def test_the_context_of_angles_by_kind_of_layer() -> None:
    """A family whose layers have angles of their own each: the shortest holds."""
    config = make("llama, default").model.config
    config.rope_parameters = {"full_attention": {"rope_theta": THETA, **LONGROPE}, "sliding_attention": PARTLY}
    assert context_length(config) == ORIGINAL
