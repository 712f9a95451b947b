"""One layer of the fast path of training, for all families that it covers: what differs between them is a `LayerSpec`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from trueward.models import precision
from trueward.models.fast import compiled, flash, projections
from trueward.models.fast.attention import attend
from trueward.models.fast.fused import GatherRows, GeGlu, ReorderRows, RmsNorm, Rotary, SwiGlu
from trueward.models.fast.layout import Block, Layout
from trueward.models.fast.spec import LayerSpec, feed_forward_norms, norm_epsilon, norm_scale

ACTIVATIONS = {"silu": SwiGlu, "gelu_pytorch_tanh": GeGlu}

Rotation = tuple[Tensor, Tensor]  # cos and sin of each token's angles, [N, 1, half of the features that are turned]
Rotations = Mapping[str | None, Rotation]  # by `LayerSpec.rotary`


def output(
    layer: Any, spec: LayerSpec, activation: str, x: Tensor, rotations: Rotations, place: Layout, is_compiled: bool
) -> Tensor:
    """A layer's output at every token: [N, D] -> [N, D]."""
    rotation = rotations.get(spec.rotary)
    if is_compiled and rotation is not None and activation == "silu" and compiled.covers(layer):
        heads = compiled.heads(layer, x, *rotation).to(precision.now(x))
    else:
        heads = _heads(layer.self_attn, spec, norm(layer.input_layernorm, x), rotation, "qkv")
    first = place.prompt_tokens
    queries, keys, values = _open(heads[:first] if place.answers else heads, place.prompts, spec, "qkv")
    mixed = _close(_attend(queries, keys, values, place.prompts, spec), place.prompts)
    if place.answers is not None:
        q, k, v = _open(heads[first:], place.answers, spec, "qkv", first)
        k, v = _after(keys, k, place.group), _after(values, v, place.group)
        answers = _close(_attend(q, k, v, place.answers, spec), place.answers)
        mixed = torch.cat([mixed, answers])
    return _finish(layer, activation, x, mixed, is_compiled)


def last_output(
    layer: Any, spec: LayerSpec, activation: str, x: Tensor, rotations: Rotations, place: Layout, is_compiled: bool
) -> Tensor:
    """Keys and values of every token, queries only where a state is needed: [n, D]."""
    rotation = rotations.get(spec.rotary)
    attention, normal, wanted = layer.self_attn, norm(layer.input_layernorm, x), place.wanted
    rows, first = wanted.to[wanted.back], place.prompt_tokens
    heads = _heads(attention, spec, normal, rotation, "kv")
    keys, values = _open(heads[:first] if place.answers else heads, place.prompts, spec, "kv")
    if place.answers is not None:
        k, v = _open(heads[first:], place.answers, spec, "kv", first)
        keys, values = _after(keys, k, place.group), _after(values, v, place.group)
    elif place.group is not None:
        keys, values = keys[place.group], values[place.group]
    there = None if rotation is None else (rotation[0][rows], rotation[1][rows])
    queries = _heads(attention, spec, normal.index_select(0, rows), there, "q")
    to = torch.zeros_like(wanted.to)
    to[wanted.back] = torch.arange(len(rows), device=x.device)
    (q,) = _open(queries, Block(to, wanted.back, wanted.shape, None), spec, "q")
    mixed = _close(_attend(q, keys, values, wanted, spec), wanted)
    return _finish(layer, activation, x.index_select(0, rows), mixed, is_compiled)


def norm(module: Any, x: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """The normalised rows, in the precision of the product that follows, or in `dtype`."""
    out: Tensor = RmsNorm.apply(x, norm_scale(module), norm_epsilon(module), dtype or precision.now(x))
    return out


def _attend(q: Tensor, k: Tensor, v: Tensor, block: Block, spec: LayerSpec) -> Tensor:
    if block.ragged is not None:
        return flash.attend(q, k, v, block.ragged, spec.scale, spec.window, spec.cap)
    mask = block.attn_mask if spec.window is None else block.window_mask
    return attend(q, k, v, mask, spec.scale, spec.cap)


def _heads(attention: Any, spec: LayerSpec, x: Tensor, rotation: Rotation | None, which: str) -> Tensor:
    """Those of q, k, v that `which` names, q and k rotated by their positions, side by side: [N, heads, size]."""
    out = projections.heads(attention, spec, x, which)
    counts = spec.counts(which)
    if hasattr(attention, "q_norm"):  # Qwen 3, Gemma 3
        parts = out.split(counts, dim=1)
        named = [(getattr(attention, f"{n}_norm", None), p) for n, p in zip(which, parts, strict=True)]
        own = (lambda n, p: n(p)) if out.dtype is precision.LOW else norm  # transformers' rounds between its steps
        out = torch.cat([p if n is None else own(n, p) for n, p in named], dim=1)
    if rotation is not None:
        rotated = sum(c for c, name in zip(counts, which, strict=True) if name != "v")
        out = Rotary.apply(out, *rotation, rotated)
    return out.to(precision.now(x))


def _open(x: Tensor, block: Block, spec: LayerSpec, which: str, first: int = 0) -> tuple[Tensor, ...]:
    """Packed rows [N, heads, size], of which the first is number `first`, as blocks [n, heads, t, size] of q, k, v."""
    rows = ReorderRows.apply(x, (block.to - first).clamp(min=0) if first else block.to, block.back)
    parts = rows.view(*block.shape, *x.shape[1:]).split(spec.counts(which), dim=2)
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


def _finish(layer: Any, activation: str, x: Tensor, mixed: Tensor, is_compiled: bool) -> Tensor:
    """What follows the attention: both [N, D] or [N, heads·size] -> [N, D]."""
    if is_compiled and activation == "silu" and compiled.covers(layer):
        return compiled.finish(layer, x, mixed)
    before, after_attention, after = feed_forward_norms(layer)
    x = _onto(x, layer.self_attn.o_proj(mixed), after_attention)
    both = projections.gate_up(layer.mlp, norm(before, x))
    return _onto(x, layer.mlp.down_proj(ACTIVATIONS[activation].apply(both)), after)


def _onto(x: Tensor, part: Tensor, after: Any | None) -> Tensor:
    """x with what a part of the layer gives; Gemma 2 and 3 normalise that first."""
    return x + (part if after is None else norm(after, part.to(x.dtype), x.dtype))
