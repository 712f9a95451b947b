"""The fast path of training: its states and gradients are transformers', and what isn't needed isn't computed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from trueward.batches import Tokens, micro_batches
from trueward.models import heads
from trueward.models.fast import packed

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
LEFT_TO_THE_GENERAL_PATH: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral with a window": ("mistral", {"sliding_window": 5}),
    "qwen2 with a window": ("qwen2", {"use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1}),
    "llama with GELU": ("llama", {"hidden_act": "gelu"}),
    "olmo2": ("olmo2", {}),
    "llama, turned as YaRN": (
        "llama",
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0}},
    ),
}
A, B, C = [1, 9, 12, 7], [1, 8], [1, 30, 11]
OWN = [(A, [20, 31, 2]), (B, [25, 14, 40, 33, 2]), (C, [17]), ([3], [5, 6])]
SHARED = [(A, [20, 31, 2]), (B, [25, 14, 40, 33, 2]), (A, [17]), (A, [44, 45, 46, 2]), (B, [3, 2])]


def make(name: str, dtype: torch.dtype = torch.float64) -> Any:
    family, settings = (COVERED | LEFT_TO_THE_GENERAL_PATH)[name]
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
