"""Products in bfloat16: how far they are from float32, that nothing else is coarser, and what is kept in which type."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from trueward.batches import Tokens
from trueward.config import LoraConfig
from trueward.data import toy
from trueward.losses.importance import deviation
from trueward.models import checkpointing, heads, loading, lora, precision, tiny
from trueward.models.derived import scalar_head, trainable
from trueward.models.frozen_layers import ValueHead
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.sampling.fast import FastDecoder
from trueward.sampling.sampler import SamplingParams
from trueward.training.state import adam

PROMPTS = [Prompt(text=prompt) for prompt, _ in toy.reviews(12, seed=5)]
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
KINDS = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config, "qwen3": transformers.Qwen3Config}


def network(family: str, seed: int, low: bool = True) -> Network:
    torch.manual_seed(seed)
    tokenizer = tiny.word_tokenizer(toy.words())
    settings: dict[str, Any] = {"vocab_size": len(tokenizer), "initializer_range": 0.05, "tie_word_embeddings": True}
    settings |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config: Any
    if family == "gpt2":
        config = transformers.GPT2Config(**settings, n_embd=32, n_layer=3, n_head=4, n_positions=64)
        config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    else:
        config = KINDS[family](**settings, **SIZES, num_key_value_heads=2, head_dim=8, max_position_embeddings=64)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    if low:
        precision.settle(model, torch.bfloat16)
    return Network(model, tokenizer)


def sampled(made: Network, seed: int = 1, tokens: int = 12) -> Any:
    return sampler.sample(made, PROMPTS, SamplingParams(max_new_tokens=tokens), Draws.purpose(seed, "answers"))


@pytest.fixture(scope="module")
def batch() -> Tokens:
    tokens: Tokens = sampled(network("llama", 0, low=False)).tokens
    return tokens


def gradients(made: Network, tokens: Tokens) -> Tensor:
    made.model.requires_grad_(True)
    mask = tokens.response_mask
    (-heads.response_logprobs(made.model, tokens)[mask].mean()).backward()
    every = [p.grad for p in made.model.parameters() if p.grad is not None]
    assert all(g.dtype == torch.float32 for g in every)
    return torch.cat([g.flatten() for g in every])


@pytest.mark.parametrize("adapted", [False, True])
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_sampler_and_learner_agree(family: str, adapted: bool) -> None:
    made = network(family, 0)
    if adapted:
        precision.keep(made.model.requires_grad_(False))
        lora.adapt(made.model, LoraConfig(rank=2), 0)
        for name, parameter in made.model.named_parameters():
            if ".lora_B." in name:
                torch.nn.init.normal_(parameter, std=0.02)
    rollout = sampled(made)
    with torch.no_grad():
        learner = heads.response_logprobs(made.model, rollout.tokens)
    mask = rollout.tokens.response_mask
    assert learner.dtype == rollout.logprobs.dtype == torch.float32
    found = deviation(learner, rollout.logprobs, mask, int(mask.sum()))
    assert found["importance/deviation"] < 5e-3
    assert found["importance/deviation"] <= found["importance/deviation_999"] < 0.1


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_gradients_are_float32s_within_two_percent(family: str, seed: int, batch: Tokens) -> None:
    wide, low = (gradients(network(family, seed, is_low), batch) for is_low in (False, True))
    assert not wide.equal(low)
    assert (wide - low).norm() < 0.02 * wide.norm()


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2"])
def test_what_is_kept_rounded_gives_the_same_numbers(family: str, batch: Tokens) -> None:
    """So a policy and its frozen reference are the same at the first step, and in memory is what is read from disk."""
    policy = network(family, 0)
    reference = Network(precision.keep(deepcopy(policy.model).requires_grad_(False)), policy.tokenizer)
    kinds = {name: p.dtype for name, p in reference.model.named_parameters()}
    assert torch.bfloat16 in kinds.values()
    assert all(
        dtype == torch.float32 for name, dtype in kinds.items() if "norm" in name or "bias" in name or "ln_" in name
    )
    with torch.no_grad():
        one, other = (heads.response_logprobs_and_entropy(n.model, batch) for n in (policy, reference))
        assert one[0].equal(other[0])
        assert one[1].equal(other[1])
        assert heads.response_logits(policy.model, batch).equal(heads.response_logits(reference.model, batch))
    assert heads.response_logits(reference.model, batch).dtype == torch.float32
    drawn, again = sampled(policy), sampled(reference)
    assert drawn.tokens.ids.equal(again.tokens.ids)
    assert drawn.logprobs.equal(again.logprobs)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_what_learns_is_float32(family: str, batch: Tokens) -> None:
    reference = network(family, 0)
    precision.keep(reference.model.requires_grad_(False))
    policy = trainable(reference, None, 0)
    adapted = trainable(reference, LoraConfig(rank=2), 0)
    value = scalar_head(reference, None, 0)
    for made in (policy, adapted, value):
        learning = [p for p in made.model.parameters() if p.requires_grad]
        assert learning
        assert all(p.dtype == torch.float32 for p in learning)
        assert precision.is_low(made.model)
    assert any(p.dtype == torch.bfloat16 for p in adapted.model.parameters())
    optimizer = adam(adapted.model, 1e-2)
    heads.response_logprobs(adapted.model, batch).sum().backward()
    optimizer.step()
    moments = [x for entry in optimizer.state.values() for x in entry.values()]
    assert all(x.dtype == torch.float32 for x in moments)
    assert (
        all(p.dtype == torch.float32 for p in lora.merged(adapted.model).model.layers[0].self_attn.parameters())
        if (family == "llama")
        else True
    )
    assert heads.sequence_scores(value.model, batch).dtype == torch.float32
    assert heads.response_values(value.model, batch).dtype == torch.float32
    assert ValueHead(adapted.model).score.weight.dtype == torch.float32


def test_activations_computed_again_give_the_same_gradients(batch: Tokens) -> None:
    once = gradients(network("llama", 0), batch)
    with checkpointing.checkpointed_layers(True):
        again = gradients(network("llama", 0), batch)
    assert once.equal(again)


def test_a_model_that_is_in_bfloat16_itself_can_be_sampled_and_learn(batch: Tokens) -> None:
    made = network("llama", 0, low=False)
    made.model.to(torch.bfloat16)
    rollout = sampled(made)
    with torch.no_grad():
        learner = heads.response_logprobs(made.model, rollout.tokens)
    assert (learner - rollout.logprobs)[rollout.tokens.response_mask].abs().mean() < 0.05


@pytest.mark.parametrize("quantize", ["int8", "bfloat16"])
def test_a_coarser_sampler_reads_rounded_weights(quantize: str) -> None:
    made = network("llama", 0)
    precision.keep(made.model.requires_grad_(False))
    params = SamplingParams(max_new_tokens=8, quantize=quantize)
    rollout = sampler.sample(made, PROMPTS, params, Draws.purpose(1, "answers"))
    with torch.no_grad():
        learner = heads.response_logprobs(made.model, rollout.tokens)
    assert (learner - rollout.logprobs)[rollout.tokens.response_mask].abs().mean() < 0.05


def test_saved_weights_are_whole_numbers_of_either_type(tmp_path: Path) -> None:
    reference = network("llama", 0)
    loading.save(reference, tmp_path / "float32")
    again = loading.causal(str(tmp_path / "float32"), 0, torch.device("cpu"), torch.bfloat16)
    assert all(p.dtype == torch.float32 for p in again.model.parameters())
    assert precision.is_low(again.model)
    loading.save(Network(precision.keep(again.model.requires_grad_(False)), again.tokenizer), tmp_path / "kept")
    kept = loading.causal(str(tmp_path / "kept"), 0, torch.device("cpu"), torch.bfloat16)
    assert all(p.dtype == torch.float32 for p in kept.model.parameters())
    assert sampled(kept).logprobs.equal(sampled(reference).logprobs)
    assert not precision.is_low(loading.causal(str(tmp_path / "kept"), 0, torch.device("cpu")).model)


def test_auto_is_bfloat16_on_cuda_alone() -> None:
    assert precision.pick("auto", torch.device("cuda")) is torch.bfloat16
    assert precision.pick("auto", torch.device("cpu")) is torch.float32
    assert precision.pick("auto", torch.device("mps")) is torch.float32
    assert precision.pick("float32", torch.device("cuda")) is torch.float32


@pytest.mark.parametrize("family", ["gemma", "gemma2", "gemma3_text"])
def test_gemmas_scaled_embedding_stays_float32(family: str, batch: Tokens) -> None:
    """√D and its product with the embedding aren't rounded. transformers' own, all in bfloat16, rounds the embedding, √D and
    the product: 3/256 off at most. Policy and frozen reference have the same, and so has the sampler."""
    torch.manual_seed(0)
    made = network("llama", 0, low=False)
    sizes = {**SIZES, "hidden_size": 24, "head_dim": 8, "num_key_value_heads": 2, "vocab_size": len(made.tokenizer)}
    config = transformers.AutoConfig.for_model(family, **sizes, pad_token_id=0, bos_token_id=1, eos_token_id=2)
    model = transformers.AutoModelForCausalLM.from_config(config).float().eval()
    embedding = model.get_input_embeddings()
    ids = torch.arange(3, 40)
    expected = embedding.weight[ids] * 24**0.5
    torch.testing.assert_close(embedding(ids), expected, rtol=1e-6, atol=0)
    theirs = deepcopy(embedding).bfloat16()(ids)
    assert theirs.dtype == torch.bfloat16
    away = ((theirs.float() - expected) / expected)[expected != 0].abs()
    assert 1 / 512 < away.max() < 3.1 / 256

    low = Network(deepcopy(model), made.tokenizer)
    precision.settle(low.model, torch.bfloat16)
    assert low.model.get_input_embeddings()(ids).equal(embedding(ids))
    frozen = Network(precision.keep(deepcopy(low.model).requires_grad_(False)), made.tokenizer)
    assert frozen.model.get_input_embeddings().weight.dtype == torch.float32
    assert FastDecoder(low.model)._embedded(ids).equal(embedding(ids))
    with torch.no_grad():
        one, other = (heads.response_logprobs(n.model, batch) for n in (low, frozen))
    assert one.equal(other)
