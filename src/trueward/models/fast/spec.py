"""What a family's layers compute, read from a model's configuration: parameters of the one layer that the fast paths have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Families whose layers are this module's: all of them attend fully, or all within the window, or `layer_types` says which.
FULL = ("llama", "gemma")
WINDOWED = ("mistral", "phi3")
BY_LAYER = ("qwen2", "qwen3", "smollm3", "gemma2", "gemma3_text")
FAMILIES = (*FULL, *WINDOWED, *BY_LAYER)

CENTRED = frozenset({"GemmaRMSNorm", "Gemma2RMSNorm", "Gemma3RMSNorm"})  # norms that multiply by 1 + w
CAPPED = frozenset({"gemma2", "gemma3_text"})  # families that may cap their logits, and name their activation so
STATIC = frozenset({"default", "linear", "llama3"})  # rotary embeddings whose angles depend on the position alone
KINDS = frozenset({"full_attention", "sliding_attention"})


@dataclass(frozen=True)
class LayerSpec:
    """What one layer computes, beside its weights."""

    heads: int
    kv_heads: int
    size: int
    """Features of a head."""
    scale: float
    """What the products of queries and keys are multiplied by."""
    window: int | None = None
    """How many tokens a token attends to, itself the last of them; None: all before it."""
    cap: float | None = None
    """The attention's logits x become cap·tanh(x / cap)."""
    rotary: str | None = ""
    """Which rotary embedding turns queries and keys: "" where the model has one, else a kind of layers; None: none does."""

    def counts(self, which: str) -> list[int]:
        """How many heads of each of q, k, v."""
        return [self.heads if name == "q" else self.kv_heads for name in which]


def layers(model: Any) -> list[LayerSpec] | None:
    """A spec for each layer, from below; None for a model whose layers are others, or whose angles aren't static."""
    config = model.config
    if config.model_type not in FAMILIES or getattr(config, "use_bidirectional_attention", None):
        return None
    stack = model.base_model.layers
    kinds = _kinds(config, len(stack))
    has_own = kinds is not None and config.model_type == "gemma3_text"
    if kinds is None or not _is_static(getattr(config, "rope_parameters", None) or {}, kinds if has_own else None):
        return None
    turned = config.no_rope_layers if config.model_type == "smollm3" else [True] * len(stack)
    if len(turned) < len(stack):
        return None
    return [
        LayerSpec(
            heads=config.num_attention_heads,
            kv_heads=config.num_key_value_heads,
            size=layer.self_attn.head_dim,
            scale=layer.self_attn.scaling,
            window=config.sliding_window if kind == "sliding_attention" else None,
            cap=config.attn_logit_softcapping if config.model_type == "gemma2" else None,
            rotary=(kind if has_own else "") if turns else None,
        )
        for layer, kind, turns in zip(stack, kinds, turned, strict=False)
    ]


def activation(config: Any) -> str:
    """The name of the gate's activation."""
    return str(config.hidden_activation if config.model_type in CAPPED else config.hidden_act)


def logit_cap(model: Any) -> float | None:
    """The logits x of this model are cap·tanh(x / cap); None: they are not capped."""
    cap = getattr(model.config, "final_logit_softcapping", None) if model.config.model_type in CAPPED else None
    return None if cap is None else float(cap)


def is_centred(norm: Any) -> bool:
    """Whether it's one of Gemma's norms, which multiply by 1 + w and round after that."""
    return type(norm).__name__ in CENTRED


def norm_scale(norm: Any) -> Any:
    """What a norm multiplies its rows by: its weights, Gemma's 1 more than them."""
    return 1.0 + norm.weight if is_centred(norm) else norm.weight


def norm_epsilon(norm: Any) -> float:
    """What a norm adds to the mean square."""
    return float(norm.eps if is_centred(norm) else norm.variance_epsilon)


def feed_forward_norms(layer: Any) -> tuple[Any, Any | None, Any | None]:
    """The norm before the feed-forward network; those of what the attention and the network give, which Gemma 2 and 3 have."""
    if hasattr(layer, "pre_feedforward_layernorm"):
        return layer.pre_feedforward_layernorm, layer.post_attention_layernorm, layer.post_feedforward_layernorm
    return layer.post_attention_layernorm, None, None


def _kinds(config: Any, count: int) -> list[str] | None:
    """What each layer attends to, by transformers' names; None where that isn't known."""
    given = list(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    if config.model_type in BY_LAYER:
        known = len(given) >= count and KINDS.issuperset(given[:count])
        return given[:count] if known and (window or "sliding_attention" not in given[:count]) else None
    if set(given) - {"full_attention"}:
        return None
    return ["sliding_attention" if window and config.model_type in WINDOWED else "full_attention"] * count


def _is_static(parameters: Mapping[str, Any], kinds: list[str] | None) -> bool:
    """Whether the angles depend on the position alone. kinds: of layers that have parameters of their own each."""
    each = [parameters] if kinds is None else [parameters.get(kind) or {} for kind in sorted(set(kinds))]
    return all(one.get("rope_type", "default") in STATIC for one in each)
