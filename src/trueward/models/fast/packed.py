"""The fast path of training: the hidden states of Llama-like models, where they're needed and nowhere else.

Sequences are packed one after the other, without padding, so that norms and matrix products see real tokens only; only
the attention works on padded blocks. What isn't needed isn't computed:
- a prompt that several responses share is computed once;
- tokens after the last state needed are left out;
- the last layer has queries only where a state is needed.
The numbers are transformers' (tests/models/fast/test_packed.py). It covers Llama, Mistral, Qwen2 and Qwen3; other families
take the general path (heads.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trueward import transfers
from trueward.batches import Tokens
from trueward.models import checkpointing, precision
from trueward.models.fast import compiled
from trueward.models.fast.attention import attend
from trueward.models.fast.fused import GatherRows, ReorderRows, RmsNorm, Rotary, SwiGlu
from trueward.models.fast.layout import Block, Layout, layout, prompt_numbers
from trueward.tracking import beats

__all__ = ["Layout", "compiled_layers", "covers", "is_compiled", "layout", "lower_states", "prompt_numbers", "states"]

FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3"})
is_compiled = False  # whether layers run through torch.compile; set by `compiled_layers`
NARROW = 512  # features: up to here q, k, v and gate, up are joined for each pass; copying larger weights costs more


@contextmanager
def compiled_layers(on: bool) -> Iterator[None]:
    """Within this scope layers run through torch.compile, or don't (`runtime.compile`); afterwards as before.

    In every thread, because autograd may run a layer again in a thread of its own.
    """
    global is_compiled
    before, is_compiled = is_compiled, on
    try:
        yield
    finally:
        is_compiled = before


def covers(model: Any) -> bool:
    """Whether this module computes the model exactly: its family, full attention, no dropout, SiLU.

    Not in float64: transformers takes norms and angles in float32 even there, and this module would not.
    """
    config = model.config
    if config.model_type not in FAMILIES or model.dtype == torch.float64:
        return False
    windows = set(getattr(config, "layer_types", None) or ["full_attention"]) != {"full_attention"}
    if windows or (getattr(config, "sliding_window", None) and config.model_type == "mistral"):
        return False
    scaling = getattr(config, "rope_parameters", None) or {}
    scaled = scaling.get("rope_type", "default") not in ("default", "linear", "llama3")
    trained_dropout = model.training and getattr(config, "attention_dropout", 0.0)
    return not scaled and not trained_dropout and config.hidden_act == "silu"


Rotation = tuple[Tensor, Tensor]  # cos and sin of each token's angles, [N, 1, half a head's size]


def states(model: Any, tokens: Tokens, where: Tensor) -> Tensor:
    """The last layer's output after the final norm at `where` [B, T], a mask in the host's memory, row by row: [n, D]."""
    body = model.base_model
    place = layout(tokens, where, _masks(model))
    with beats.forward(len(place.ids)):
        skipped = 0
        if tokens.lower is None:
            x = body.embed_tokens(place.ids)
        else:
            skipped, x = tokens.lower.layers, tokens.lower.states.flatten(0, 1).index_select(0, place.sources)
        rotation = _angles(body, x, place)
        for layer in body.layers[skipped:-1]:
            x = checkpointing.layer_output(_layer, layer, x, rotation, place)
        x = checkpointing.layer_output(_last_layer, body.layers[-1], x, rotation, place)
        return _norm(body.norm, x, x.dtype)


@torch.no_grad()
def lower_states(model: Any, tokens: Tokens, layers: int) -> Tensor:
    """The output of the lowest `layers` layers, [B, T, D]; 0 at padding."""
    body = model.base_model
    real = torch.arange(tokens.ids.shape[1]) < tokens.host.lengths[:, None]
    place = layout(tokens, real, _masks(model))
    with beats.forward(len(place.ids)):
        x = body.embed_tokens(place.ids)
        rotation = _angles(body, x, place)
        for layer in body.layers[:layers]:
            x = _layer(layer, x, rotation, place)
    states = x[place.wanted.to[place.wanted.back]]
    at = transfers.moved(real.flatten().nonzero().squeeze(1), x.device)
    out: Tensor = x.new_zeros(real.numel(), x.shape[1]).index_copy_(0, at, states).view(*real.shape, -1)
    return out


def _angles(body: Any, x: Tensor, place: Layout) -> Rotation:
    cos, sin = body.rotary_emb(x, place.positions[None])
    half = cos.shape[-1] // 2
    return cos[0, :, None, :half].contiguous(), sin[0, :, None, :half].contiguous()


def _layer(layer: Any, x: Tensor, rotation: Rotation, place: Layout) -> Tensor:
    attention = layer.self_attn
    if is_compiled and compiled.covers(layer):
        heads = compiled.heads(layer, x, *rotation).to(precision.now(x))
    else:
        heads = _heads(attention, _norm(layer.input_layernorm, x), rotation, "qkv")
    first = place.prompt_tokens
    queries, keys, values = _open(heads[:first] if place.answers else heads, place.prompts, attention, "qkv")
    mixed = _close(attend(queries, keys, values, None, attention.scaling), place.prompts)
    if place.answers is not None:
        q, k, v = _open(heads[first:], place.answers, attention, "qkv", first)
        k, v = _after(keys, k, place.group), _after(values, v, place.group)
        answers = _close(attend(q, k, v, place.answers.attn_mask, attention.scaling), place.answers)
        mixed = torch.cat([mixed, answers])
    return _finish(layer, x, mixed)


def _last_layer(layer: Any, x: Tensor, rotation: Rotation, place: Layout) -> Tensor:
    """Keys and values of every token, queries only where a state is needed: [n, D]."""
    attention, normal, wanted = layer.self_attn, _norm(layer.input_layernorm, x), place.wanted
    rows, first = wanted.to[wanted.back], place.prompt_tokens
    heads = _heads(attention, normal, rotation, "kv")
    keys, values = _open(heads[:first] if place.answers else heads, place.prompts, attention, "kv")
    if place.answers is not None:
        k, v = _open(heads[first:], place.answers, attention, "kv", first)
        keys, values = _after(keys, k, place.group), _after(values, v, place.group)
    elif place.group is not None:
        keys, values = keys[place.group], values[place.group]
    queries = _heads(attention, normal.index_select(0, rows), (rotation[0][rows], rotation[1][rows]), "q")
    to = torch.zeros_like(wanted.to)
    to[wanted.back] = torch.arange(len(rows), device=x.device)
    (q,) = _open(queries, Block(to, wanted.back, wanted.shape, None), attention, "q")
    mixed = _close(attend(q, keys, values, wanted.attn_mask, attention.scaling), wanted)
    return _finish(layer, x.index_select(0, rows), mixed)


def _masks(model: Any) -> torch.dtype:
    """The type of attention's masks: that of its products."""
    dtype: torch.dtype = model.base_model.norm.weight.dtype
    return precision.LOW if precision.is_low(model) else dtype


def _norm(norm: Any, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The normalised rows, in the precision of the product that follows, or in `dtype`."""
    out: Tensor = RmsNorm.apply(x, norm.weight, norm.variance_epsilon, dtype or precision.now(x))
    return out


def _joined(x: Tensor, *modules: Any) -> Tensor:
    """Several maps of one input side by side; as one product where they're linear maps (an adapter is not), and narrow."""
    if len(modules) == 1:
        only: Tensor = modules[0](x)
        return only
    if any(type(m) is not nn.Linear for m in modules) or modules[0].in_features > NARROW:
        return torch.cat([m(x) for m in modules], dim=-1)
    bias = torch.cat([m.bias for m in modules]) if modules[0].bias is not None else None
    return F.linear(x, torch.cat([m.weight for m in modules]), bias)


def _counts(attention: Any, which: str) -> list[int]:
    """How many heads of each of q, k, v."""
    return [getattr(attention, f"{name}_proj").out_features // attention.head_dim for name in which]


def _heads(attention: Any, x: Tensor, rotation: Rotation, which: str) -> Tensor:
    """Those of q, k, v that `which` names, q and k rotated by their positions, side by side: [N, heads, size]."""
    out = _joined(x, *(getattr(attention, f"{name}_proj") for name in which)).view(len(x), -1, attention.head_dim)
    counts = _counts(attention, which)
    if hasattr(attention, "q_norm"):  # Qwen3
        parts = out.split(counts, dim=1)
        named = [(getattr(attention, f"{n}_norm", None), p) for n, p in zip(which, parts, strict=True)]
        own = (
            (lambda norm, p: norm(p)) if out.dtype is precision.LOW else _norm
        )  # transformers' rounds between its steps
        out = torch.cat([p if norm is None else own(norm, p) for norm, p in named], dim=1)
    rotated = sum(c for c, name in zip(counts, which, strict=True) if name != "v")
    heads: Tensor = Rotary.apply(out, *rotation, rotated)
    return heads.to(precision.now(x))


def _open(x: Tensor, block: Block, attention: Any, which: str, first: int = 0) -> tuple[Tensor, ...]:
    """Packed rows [N, heads, size], of which the first is number `first`, as blocks [n, heads, t, size] of q, k, v."""
    rows = ReorderRows.apply(x, (block.to - first).clamp(min=0) if first else block.to, block.back)
    parts = rows.view(*block.shape, *x.shape[1:]).split(_counts(attention, which), dim=2)
    return tuple(p.transpose(1, 2) for p in parts)


def _close(mixed: Tensor, block: Block) -> Tensor:
    """The other way: [n, heads, t, size] -> [N, heads·size]."""
    flat = mixed.transpose(1, 2).reshape(block.shape[0] * block.shape[1], -1)
    if len(block.back) == len(flat):
        return flat
    rows: Tensor = GatherRows.apply(flat, block.back)
    return rows


def _after(prompts: Tensor, answers: Tensor, group: Tensor | None) -> Tensor:
    """Keys or values of each response after those of its prompt: [B, heads, P + R, size]."""
    return torch.cat([prompts if group is None else prompts[group], answers], dim=2)


def _finish(layer: Any, x: Tensor, mixed: Tensor) -> Tensor:
    if is_compiled and compiled.covers(layer):
        return compiled.finish(layer, x, mixed)
    x = x + layer.self_attn.o_proj(mixed)
    inner = _norm(layer.post_attention_layernorm, x)
    inner = SwiGlu.apply(_joined(inner, layer.mlp.gate_proj, layer.mlp.up_proj))
    out: Tensor = x + layer.mlp.down_proj(inner)
    return out
