"""Tiny networks: Llama, which has the fast paths, GPT-2, which takes the general ones, and what else the fast paths cover."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from trueward.data import toy
from trueward.models import tiny
from trueward.models.network import Network

FAMILIES = ("llama", "gpt2")
GEMMA: dict[str, Any] = {"head_dim": 8, "sliding_window": 6, "layer_types": ["sliding_attention", "full_attention"]}
PARTLY = {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.5}
FAST: dict[str, tuple[str, dict[str, Any]]] = {
    "mistral": ("Mistral", {"sliding_window": 6}),
    "qwen3": ("Qwen3", {"head_dim": 8}),
    "smollm3": ("SmolLM3", {"no_rope_layers": [1, 0]}),
    "gemma": ("Gemma", {"head_dim": 8}),
    "gemma2": ("Gemma2", {**GEMMA, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 9.0}),
    "gemma3_text": ("Gemma3Text", GEMMA),
    "phi3": ("Phi3", {"sliding_window": 6, "rope_parameters": PARTLY}),
}
"""Families by the parameters of the fast paths' layer: windows, norms, capped logits, angles, joined matrices."""
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


def network(family: str, seed: int, head: str = "CausalLM") -> Network:
    """With random weights. head: "CausalLM", or "SequenceClassification" for a scalar."""
    torch.manual_seed(seed)
    tokenizer = tiny.word_tokenizer(toy.words())
    settings: dict[str, Any] = {"vocab_size": len(tokenizer), "initializer_range": 0.2, "tie_word_embeddings": True}
    settings |= {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "num_labels": 1}
    config: Any
    if family == "llama":
        config = transformers.LlamaConfig(**settings, **SIZES, num_key_value_heads=1, max_position_embeddings=48)
    elif family in FAST:
        name, own = FAST[family]
        own = {**settings, **SIZES, "num_key_value_heads": 1, "max_position_embeddings": 48, **own}
        config = getattr(transformers, f"{name}Config")(**own)
    else:
        config = transformers.GPT2Config(**settings, n_embd=16, n_layer=2, n_head=2, n_positions=48)
        config.resid_pdrop = config.embd_pdrop = config.attn_pdrop = 0.0
    name = {"llama": "Llama", "gpt2": "GPT2"}.get(family) or FAST[family][0]
    if name == "Gemma3Text" and head == "CausalLM":
        name = "Gemma3"
    kind = name + "For" + head
    if kind == "GPT2ForCausalLM":
        kind = "GPT2LMHeadModel"
    return Network(getattr(transformers, kind)(config).eval(), tokenizer)
