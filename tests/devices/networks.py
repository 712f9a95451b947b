"""Tiny networks of two families: Llama, which has the fast paths, and GPT-2, which takes the general ones."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from trueward.data import toy
from trueward.models import tiny
from trueward.models.network import Network

FAMILIES = ("llama", "gpt2")


def network(family: str, seed: int, head: str = "CausalLM") -> Network:
    """With random weights. head: "CausalLM", or "SequenceClassification" for a scalar."""
    torch.manual_seed(seed)
    tokenizer = tiny.word_tokenizer(toy.words())
    settings: dict[str, Any] = {"vocab_size": len(tokenizer), "initializer_range": 0.2, "tie_word_embeddings": True}
    settings |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_labels": 1}
    config: Any
    if family == "llama":
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
        config = transformers.LlamaConfig(**settings, **sizes, num_key_value_heads=1, max_position_embeddings=48)
    else:
        config = transformers.GPT2Config(**settings, n_embd=16, n_layer=2, n_head=2, n_positions=48)
        config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    kind = {"llama": "Llama", "gpt2": "GPT2"}[family] + "For" + head
    if kind == "GPT2ForCausalLM":
        kind = "GPT2LMHeadModel"
    return Network(getattr(transformers, kind)(config).eval(), tokenizer)
