"""The general path: tiny models of several families, random weights, against transformers itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from trueward.batches import Tokens
from trueward.data import toy
from trueward.models import heads, tiny
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.sampling.general import GeneralDecoder
from trueward.sampling.sampler import SamplingParams, sample

COMMON: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {**COMMON, "num_key_value_heads": 2},
    "qwen2": {**COMMON, "num_key_value_heads": 2},
    "qwen3": {**COMMON, "num_key_value_heads": 2, "head_dim": 8},
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 40},
    "gpt_neox": COMMON,
    "gemma": {**COMMON, "num_key_value_heads": 1, "head_dim": 8},
    "mistral": {**COMMON, "num_key_value_heads": 2, "sliding_window": 5},
    "phi": COMMON,
    "olmo2": {**COMMON, "num_key_value_heads": 2},
    "smollm3": {**COMMON, "num_key_value_heads": 2},
    "gemma2": {**COMMON, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 5},  # logits capped
    "granite": {**COMMON, "num_key_value_heads": 2, "logits_scaling": 4.0},  # logits scaled
    "bloom": {"hidden_size": 16, "n_layer": 2, "n_head": 4},  # positions by the attention mask
}


def make(family: str) -> Network:
    tokenizer = tiny.word_tokenizer(toy.words())
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = AutoConfig.for_model(family, vocab_size=len(tokenizer), initializer_range=0.2, **ids, **FAMILIES[family])
    torch.manual_seed(2)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:  # biases start at 0, where they would hide a mistake
                weight.add_(0.1 * torch.randn_like(weight))
    return Network(model.float().eval(), tokenizer)


@pytest.fixture
def general(monkeypatch: pytest.MonkeyPatch) -> Callable[[Network, list[Prompt], SamplingParams], Any]:
    monkeypatch.setattr(sampler, "decoder_for", lambda network, quantize="none": GeneralDecoder(network.model))
    return lambda network, prompts, sampling: sample(network, prompts, sampling, Draws(1))


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_tokens_are_those_of_generate(
    family: str, general: Callable[..., Any], toy_prompts: list[Prompt]
) -> None:
    network = make(family)
    rollout = general(network, toy_prompts[:8], SamplingParams(temperature=0, max_new_tokens=12, max_num_seqs=3))
    for row, prompt in enumerate(toy_prompts[:8]):
        ids = torch.tensor([network.tokenizer(prompt.text)["input_ids"]])
        out = network.model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=12
        )
        assert rollout.tokens.ids[row][rollout.tokens.response_mask[row]].tolist() == out[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("family", FAMILIES)
def test_log_probs_are_those_of_a_full_forward_pass(
    family: str, temperature: float, general: Callable[..., Any], toy_prompts: list[Prompt]
) -> None:
    network = make(family)
    rollout = general(network, toy_prompts, SamplingParams(temperature=temperature, max_new_tokens=12, max_num_seqs=8))
    tokens = rollout.tokens
    with torch.no_grad():
        learner = heads.response_logprobs(network.model, tokens, temperature)
        torch.testing.assert_close(rollout.logprobs, learner, rtol=0, atol=1e-4)
        for row in range(6):
            end, begin = int(tokens.lengths[row]), int(tokens.prompt_lengths[row])
            ids = tokens.ids[row, :end]
            logp = (network.model(input_ids=ids[None]).logits[0] / temperature).log_softmax(-1)
            expected = logp[torch.arange(begin - 1, end - 1), ids[begin:]]
            torch.testing.assert_close(rollout.logprobs[row, begin:end], expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - {"olmo2", "granite"}))  # transformers has none of these
def test_rewards_are_those_of_the_models_own_forward_pass(family: str) -> None:
    config = make(family).model.config
    config.num_labels = 1
    model = AutoModelForSequenceClassification.from_config(config).eval()
    tokens = Tokens.collate([([1, 8, 9], [20, 21, 2]), ([1, 8], [30])], pad=0)
    with torch.no_grad():
        out = model(input_ids=tokens.ids, attention_mask=(tokens.ids != 0).long()).logits[:, 0]
        torch.testing.assert_close(heads.sequence_scores(model, tokens), out, rtol=0, atol=1e-5)
