"""The fast path of training: its states and gradients are transformers', and what isn't needed isn't computed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.models.llama.modeling_llama import LlamaMLP

from trueward.batches import Tokens, micro_batches
from trueward.models import heads
from trueward.models.fast import packed, proof

COMMON: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "vocab_size": 50,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
COVERED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {}),
    "llama, tied": ("llama", {"tie_word_embeddings": True}),
    "llama, biased": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, a size of its own for heads": ("llama", {"head_dim": 6}),
    "llama, turned as Llama 3": ("llama", {"rope_parameters": LLAMA3}),
    "mistral": ("mistral", {"sliding_window": None}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {"head_dim": 8}),
}
TURNED = {"rope_theta": 100.0, "rope_type": "default"}
LOCAL = {
    "full_attention": {**TURNED, "rope_type": "linear", "factor": 2.0},
    "sliding_attention": {**TURNED, "rope_theta": 10.0},
}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
GEMMA: dict[str, Any] = {"head_dim": 6, "sliding_window": 3, "layer_types": MIXED, "query_pre_attn_scalar": 10}
BY_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {  # one layer, whatever differs a parameter of it
    "llama with Gemma's gate": ("llama", {"hidden_act": "gelu_pytorch_tanh"}),
    "mistral with a window": ("mistral", {"sliding_window": 3}),
    "mistral with a window longer than all": ("mistral", {"sliding_window": 30}),
    "qwen2 with a window": ("qwen2", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
    "qwen3 with a window": ("qwen3", {"head_dim": 8, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 2}),
    "smollm3": ("smollm3", {"pad_token_id": 0, "no_rope_layers": [1, 0, 1], "attention_bias": True}),
    "smollm3, the last one not turned, in a window": (
        "smollm3", {"pad_token_id": 0, "no_rope_layers": [0, 1, 0], "use_sliding_window": True, "sliding_window": 4},
    ),
    "gemma": ("gemma", {"head_dim": 6}),
    "gemma2": ("gemma2", {**GEMMA, "attn_logit_softcapping": 0.5, "final_logit_softcapping": 1.5}),
    "gemma2, the last one full, no caps": (
        "gemma2",
        {**GEMMA, "layer_types": MIXED[1:] + MIXED[1:2], "attn_logit_softcapping": None, "final_logit_softcapping": None},
    ),
    "gemma3_text": ("gemma3_text", {**GEMMA, "rope_parameters": LOCAL}),
    "gemma3_text, capped": ("gemma3_text", {**GEMMA, "attn_logit_softcapping": 0.5, "final_logit_softcapping": 1.5}),
    "phi3": ("phi3", {"pad_token_id": 0, "sliding_window": 4}),
    "phi3, turned in part": (
        "phi3", {"pad_token_id": 0, "hidden_size": 32, "rope_parameters": {**TURNED, "partial_rotary_factor": 0.5}},
    ),
}  # fmt: skip
LEFT_TO_THE_GENERAL_PATH: dict[str, tuple[str, dict[str, Any]]] = {
    "llama with GELU": ("llama", {"hidden_act": "gelu"}),
    "olmo2": ("olmo2", {}),
    "llama, turned as YaRN": (
        "llama",
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0}},
    ),
    "phi3, turned as LongRoPE": (
        "phi3",
        {
            "pad_token_id": 0,
            "original_max_position_embeddings": 20,
            "rope_parameters": {
                "rope_type": "longrope",
                "rope_theta": 500.0,
                "short_factor": [1.0] * 2,
                "long_factor": [2.0] * 2,
            },
        },
    ),
    "gemma3_text, one of its angles by the length": (
        "gemma3_text",
        {
            **GEMMA,
            "rope_parameters": {
                **LOCAL,
                "full_attention": {"rope_type": "dynamic", "rope_theta": 100.0, "factor": 2.0},
            },
        },
    ),
    "gemma3_text, both ways": ("gemma3_text", {**GEMMA, "use_bidirectional_attention": True}),
}
A, B, C = [1, 9, 12, 7], [1, 8], [1, 30, 11]
OWN = [(A, [20, 31, 2]), (B, [25, 14, 40, 33, 2]), (C, [17]), ([3], [5, 6])]
SHARED = [(A, [20, 31, 2]), (B, [25, 14, 40, 33, 2]), (A, [17]), (A, [44, 45, 46, 2]), (B, [3, 2])]


def make(name: str, dtype: torch.dtype = torch.float64) -> Any:
    family, settings = (COVERED | BY_PARAMETERS | LEFT_TO_THE_GENERAL_PATH)[name]
    torch.manual_seed(2)
    config = AutoConfig.for_model(family, **{**COMMON, "initializer_range": 0.1, **settings})
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:  # biases start at 0, norms at 1, where they would hide a mistake
                weight.add_(0.1 * torch.randn_like(weight))
    return model.to(dtype).eval()


def gradients(model: Any, out: Tensor) -> Tensor:
    draw = torch.Generator().manual_seed(4)
    model.zero_grad()
    (out * torch.randn(out.shape, dtype=torch.float64, generator=draw).to(out.dtype)).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def distance(got: Tensor, expected: Tensor) -> float:
    """The difference as a share of the whole. transformers takes norms in float32 whatever comes."""
    return float((got - expected).detach().norm() / expected.detach().norm())


def positions(tokens: Tokens) -> dict[str, Tensor]:
    """Positions whose states are wanted."""
    at = torch.arange(tokens.ids.shape[1])
    real = at < tokens.lengths[:, None]
    one = torch.zeros_like(real)
    one[1, 2] = True
    draw = torch.rand(real.shape, generator=torch.Generator().manual_seed(1)) < 0.4
    return {
        "before each token of the response": tokens.before,
        "the last token": at == tokens.lengths[:, None] - 1,
        "everything": real,
        "here and there": real & draw,
        "one state of one row": one,
        "in the prompts alone": real & (at < tokens.prompt_lengths[:, None] - 1),
    }


POSITIONS = tuple(positions(Tokens.collate(OWN, 0)))


@pytest.mark.parametrize("which", POSITIONS)
@pytest.mark.parametrize("pairs", [OWN, SHARED], ids=["each its own prompt", "prompts in common"])
@pytest.mark.parametrize("name", COVERED)
def test_states_and_gradients_are_those_of_transformers(name: str, pairs: Any, which: str) -> None:
    model, tokens = make(name), Tokens.collate(pairs, 0)
    assert packed.covers(make(name, torch.float32))
    where = positions(tokens)[which]
    expected, got = heads.hidden_states(model, tokens.ids)[where], packed.states(model, tokens, where)
    assert got.shape == expected.shape
    assert distance(got, expected) < 1e-6
    assert distance(gradients(model, got), gradients(model, expected)) < 1e-6


@pytest.mark.parametrize("pairs", [OWN, SHARED], ids=["each its own prompt", "prompts in common"])
@pytest.mark.parametrize("name", BY_PARAMETERS)
def test_families_are_parameters_of_one_layer(name: str, pairs: Any) -> None:
    """Their states in every place, some of them, and the log-probs, with gradients; and the same without the other rows."""
    model, tokens = make(name), Tokens.collate(pairs, 0)
    assert packed.covers(make(name, torch.float32))
    whole = heads.hidden_states(model, tokens.ids)
    for which in ("everything", "here and there", "before each token of the response"):
        where = positions(tokens)[which]
        expected, got = whole[where], packed.states(model, tokens, where)
        assert distance(got, expected) < 1e-6, which
    assert distance(gradients(model, got), gradients(model, expected)) < 1e-6
    with torch.no_grad():
        logits, chosen = model(input_ids=tokens.ids).logits[tokens.before] / 0.7, chosen_of(model, tokens)
    model = model.float()
    found, entropy = heads.response_logprobs_and_entropy(model, tokens, 0.7)
    torch.testing.assert_close(found[tokens.response_mask].double(), chosen, atol=2e-5, rtol=0)
    entropies = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1)
    torch.testing.assert_close(entropy[tokens.response_mask].double(), entropies, atol=2e-5, rtol=0)
    with torch.no_grad():
        torch.testing.assert_close(
            heads.LogitRows(model, tokens)[slice(0, 3)].double(), logits[:3] * 0.7, atol=2e-5, rtol=0
        )
    slopes = gradients(model, found[tokens.response_mask])
    assert distance(slopes.double(), gradients(model.double(), chosen_of(model, tokens))) < 1e-5


def chosen_of(model: Any, tokens: Tokens) -> Tensor:
    """The log-probs of the response's tokens by transformers alone."""
    logits = model(input_ids=tokens.ids).logits[tokens.before] / 0.7
    chosen: Tensor = logits.log_softmax(-1).gather(1, tokens.chosen[:, None])[:, 0]
    return chosen


def test_a_setting_that_it_knows_nothing_of_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """transformers' own numbers of the same configuration are others then, so its code is taken."""
    inner = LlamaMLP.forward
    monkeypatch.setattr(
        LlamaMLP, "forward", lambda self, x: inner(self, x) * getattr(self.config, "mlp_multiplier", 1.0)
    )
    model = make("llama", torch.float32)
    assert packed.covers(model)
    other = make("llama", torch.float32)
    other.config.mlp_multiplier = 1.01
    assert not packed.covers(other)
    assert packed.covers(model)


def test_a_miniature_is_what_the_model_is() -> None:
    """Each kind of layer that the model has, one of each number of heads, and a window that cuts."""
    whole = make("smollm3, the last one not turned, in a window").config
    whole.no_rope_layers, whole.layer_types = (
        [1, 1, 1, 0, 1],
        ["full_attention"] * 3 + ["sliding_attention", "full_attention"],
    )
    whole.num_hidden_layers = 5
    small = proof.miniature(whole)
    assert (small.no_rope_layers, small.sliding_window, small.num_hidden_layers) == ([1, 1, 1, 0], 3, 4)
    assert small.layer_types[-1] == "sliding_attention"
    assert small.num_key_value_heads < small.num_attention_heads
    assert whole.num_hidden_layers == 5
    before = torch.random.get_rng_state()
    with torch.device("meta"):
        covered = AutoModelForCausalLM.from_config(whole)
        assert packed.covers(covered), "wherever the model is"
    assert before.equal(torch.random.get_rng_state())


def test_float64_is_left_to_transformers() -> None:
    assert not packed.covers(make("llama"))


@pytest.mark.parametrize("name", LEFT_TO_THE_GENERAL_PATH)
def test_what_it_does_not_cover_it_leaves_alone(name: str) -> None:
    assert not packed.covers(make(name, torch.float32))


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_values_and_scores_in_float32(temperature: float, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = make("llama", torch.float32), Tokens.collate(SHARED, 0)
    torch.manual_seed(5)
    config = copy.deepcopy(model.config)
    config.num_labels = 1
    config.pad_token_id = 0
    reward = AutoModelForSequenceClassification.from_config(config).float().eval()

    def read() -> list[Tensor]:
        logprobs, entropy = heads.response_logprobs_and_entropy(model, tokens, temperature)
        values, scores = heads.response_values(reward, tokens), heads.sequence_scores(reward, tokens)
        slopes = [gradients(model, logprobs), gradients(reward, values), gradients(reward, scores)]
        return [logprobs.detach(), entropy, values.detach(), scores.detach(), *slopes]

    fast = read()
    monkeypatch.setattr(packed, "covers", lambda model: False)
    monkeypatch.setattr(heads, "PLAIN_HEADS", frozenset())
    for quick, general in zip(fast, read(), strict=True):
        assert torch.allclose(quick, general, atol=2e-5)


def test_nothing_is_read_twice_and_nothing_in_vain() -> None:
    tokens = Tokens.collate(SHARED, 0)
    place = packed.layout(tokens, tokens.before)
    # Two prompts once each, and every response but for its last token, whose state foretells nothing.
    assert len(place.ids) == len(A) + len(B) + sum(len(r) - 1 for _, r in SHARED)
    assert int(place.wanted.back.numel()) == sum(len(r) for _, r in SHARED)
    scores = packed.layout(tokens, torch.arange(tokens.ids.shape[1]) == tokens.lengths[:, None] - 1)
    assert len(scores.wanted.back) == len(SHARED)
    alone = packed.layout(Tokens.collate(OWN, 0), Tokens.collate(OWN, 0).before)
    assert alone.answers is None
    assert len(alone.ids) == sum(len(p) + len(r) - 1 for p, r in OWN)


def test_rows_of_one_prompt_come_in_one_micro_batch() -> None:
    lengths = torch.tensor([300, 280, 310, 90, 80, 300, 290, 310])
    together = torch.tensor([0, 1, 0, 2, 2, 1, 3, 3])
    for budget in (200, 700, 900, 5000):
        groups = micro_batches(lengths, budget, together)
        assert sorted(torch.cat(groups).tolist()) == list(range(8))
        assert all(int(lengths[g].sum()) <= budget or len(g) == 1 for g in groups)
    for group in micro_batches(lengths, 5000, together):
        others = [i for i in range(8) if i not in group.tolist()]
        assert not set(together[group].tolist()) & set(together[others].tolist())
    assert micro_batches(torch.tensor([], dtype=torch.long), 100, torch.tensor([], dtype=torch.long)) == []
