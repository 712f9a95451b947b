"""The fast path of sampling for every family that it covers: tiny random models, a window that cuts, rows that come and go."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from trueward.config import LoraConfig
from trueward.data import toy
from trueward.losses.importance import deviation
from trueward.models import heads, lora, precision, tiny
from trueward.models.fast import packed
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling import linear_kernels, sampler
from trueward.sampling.draws import Draws
from trueward.sampling.fast import FastDecoder
from trueward.sampling.general import GeneralDecoder
from trueward.sampling.sampler import SamplingParams, sample

COMMON: dict[str, Any] = {
    "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 24,
    "max_position_embeddings": 40, "initializer_range": 0.2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
TURNED = {"rope_theta": 100.0, "rope_type": "default"}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
GEMMA: dict[str, Any] = {"head_dim": 6, "sliding_window": 4, "layer_types": MIXED, "query_pre_attn_scalar": 10}
LOCAL = {"full_attention": {**TURNED, "rope_type": "linear", "factor": 2.0}, "sliding_attention": TURNED}
CASES: dict[str, dict[str, Any]] = {
    "mistral": {"sliding_window": 4},
    "qwen2": {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1},
    "qwen3": {"head_dim": 8},
    "smollm3": {"no_rope_layers": [1, 0, 1], "attention_bias": True, "mlp_bias": True},
    "gemma": {"head_dim": 6},
    "gemma2": {**GEMMA, "attn_logit_softcapping": 0.5, "final_logit_softcapping": 1.5},
    "gemma3_text": {**GEMMA, "rope_parameters": LOCAL},
    "phi3": {"sliding_window": 4, "hidden_size": 32, "rope_parameters": {**TURNED, "partial_rotary_factor": 0.5}},
}
PROMPTS = [Prompt(text=prompt) for prompt, _ in toy.reviews(9, seed=5)]
PROMPTS += PROMPTS[:4]
TEMPERATURE = 0.7


def make(family: str, *, low: bool = False, rank: int = 0) -> Network:
    torch.manual_seed(2)
    tokenizer = tiny.word_tokenizer(toy.words())
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), **{**COMMON, **CASES[family]})
    model = AutoModelForCausalLM.from_config(config).float().eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 1:  # biases start at 0 and norms at 1, where they would hide a mistake
                weight.add_(0.1 * torch.randn_like(weight))
            elif low and "embed" not in name:
                weight.mul_(0.3)  # as far from bfloat16's rounding as a model is
    if low:
        precision.settle(model, torch.bfloat16)
    if rank:
        precision.keep(model.requires_grad_(False))
        lora.adapt(model, LoraConfig(rank=rank), 0)
        for name, weight in model.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(weight, std=0.02 if low else 0.05)
    return Network(model, tokenizer)


def drawn(network: Network, rows: int = 5, quantize: str = "none") -> Any:
    return sample(network, PROMPTS, SamplingParams(TEMPERATURE, 10, rows, quantize), Draws(1))


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("family", CASES)
def test_what_is_drawn_is_what_transformers_and_the_learner_say(
    family: str, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = make(family, rank=rank)
    assert isinstance(sampler.decoder_for(network), FastDecoder)
    assert packed.covers(network.model)
    rollout = drawn(network)
    tokens = rollout.tokens
    learner = heads.response_logprobs(network.model, tokens, TEMPERATURE).detach()
    torch.testing.assert_close(rollout.logprobs, learner, rtol=0, atol=1e-4)
    with torch.no_grad():
        logits = network.model(input_ids=tokens.ids, use_cache=False).logits[tokens.before] / TEMPERATURE
    expected = logits.log_softmax(-1).gather(1, tokens.chosen[:, None])[:, 0]
    torch.testing.assert_close(rollout.logprobs[tokens.response_mask], expected, rtol=0, atol=1e-4)
    monkeypatch.setattr(sampler, "decoder_for", lambda network, quantize="none": GeneralDecoder(network.model))
    assert torch.equal(drawn(network).tokens.ids, tokens.ids), "the general path draws the same"


@pytest.mark.parametrize("rank", [0, 2])
@pytest.mark.parametrize("family", ["mistral", "qwen3", "gemma2", "gemma3_text", "phi3"])
def test_sampler_and_learner_agree_in_bfloat16(family: str, rank: int) -> None:
    network = make(family, low=True, rank=rank)
    rollout = drawn(network)
    assert_near_the_learner(network, rollout)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "settle", lambda model, dtype: None)
        wide = make(family, low=True, rank=rank)
    float32 = heads.response_logprobs(wide.model, rollout.tokens, TEMPERATURE).detach()
    rounded = (float32 - rollout.logprobs)[rollout.tokens.response_mask].abs().mean()
    assert rounded > 1e-4, "products are in bfloat16"


def assert_near_the_learner(network: Network, rollout: Any) -> None:
    with torch.no_grad():
        learner = heads.response_logprobs(network.model, rollout.tokens, TEMPERATURE)
    mask = rollout.tokens.response_mask
    found = deviation(learner, rollout.logprobs, mask, int(mask.sum()))
    assert found["importance/deviation"] < 5e-3
    assert found["importance/deviation_999"] < 0.1


def test_frozen_matrices_in_bfloat16_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where torch takes them as they are: on an accelerator. But q and k, whose rows stand otherwise."""
    network = make("qwen2", low=True, rank=2)
    monkeypatch.setattr(linear_kernels.Bfloat16, "is_there", staticmethod(lambda: False))
    monkeypatch.setattr(linear_kernels.Bfloat16, "shares", staticmethod(lambda weight: False))
    assert_near_the_learner(network, drawn(network))
    monkeypatch.setattr(linear_kernels.Bfloat16, "shares", staticmethod(lambda weight: weight.dtype is torch.bfloat16))
    decoder = sampler.decoder_for(network)
    places = {p.data_ptr() for p in network.model.parameters()}
    assert isinstance(decoder, FastDecoder)
    first: Any = decoder.layers[0]  # whose kernels are those of adapters and of parts side by side
    kernels = [*first.gate_up.inner.kernels, first.down.inner, first.out.inner, *first.qkv.inner.kernels]
    assert [k.weight.data_ptr() in places for k in kernels] == [True] * 4 + [False, False, True]
    assert_near_the_learner(network, drawn(network))


@pytest.mark.parametrize("family", ["gemma2", "gemma3_text", "phi3"])
@pytest.mark.parametrize("quantize", ["int8", "bfloat16"])
def test_a_coarser_sampler_is_near(family: str, quantize: str) -> None:
    network = make(family)
    rollout = drawn(network, quantize=quantize)
    learner = heads.response_logprobs(network.model, rollout.tokens, TEMPERATURE).detach()
    apart = (learner - rollout.logprobs)[rollout.tokens.response_mask].abs().mean()
    assert 1e-5 < apart < 0.1
