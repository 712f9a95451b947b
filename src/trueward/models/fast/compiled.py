"""Two halves of a layer through torch.compile: norms, rotation and SwiGLU in few passes over memory, forward and backward.

On the CPU torch.compile writes C++, so it needs a compiler. One compilation for each shape of model, not for each number of
tokens. The numbers are those of layer.py up to rounding.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trueward.models.fast.spec import FAMILIES, activation, is_centred


def require_compiler() -> None:
    """`ValueError` where there is no C++ compiler."""
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    if not any(shutil.which(name) for name in names):
        raise ValueError(
            f"runtime.compile: torch.compile needs a C++ compiler, and there's no {' or '.join(names)} here"
        )


def require_layers(model: Any, name: str) -> None:
    """`ValueError` for a model of which no layer would be compiled: the setting would do nothing, and nobody would know."""
    family = model.config.model_type
    known = family in FAMILIES and activation(model.config) == "silu"
    if not known or not any(covers(layer) for layer in model.base_model.layers):
        raise ValueError(
            f"runtime.compile: {name}: layers of this kind (family {family!r}) aren't compiled; those of Llama, Mistral, Qwen "
            "2 and SmolLM3 with SiLU are; leave the setting out"
        )


def covers(layer: Any) -> bool:
    """Whether the layer is one of Llama's, whose maps are plain linear layers. Its gate has to be SiLU's.

    One with an adapter is not compiled, nor one with q and k norms, with fused maps or with Gemma's norms.
    """
    attention, mlp = layer.self_attn, layer.mlp
    if not hasattr(attention, "q_proj") or is_centred(layer.input_layernorm):
        return False
    maps = (
        *(getattr(attention, f"{name}_proj") for name in "qkvo"),
        mlp.gate_proj,
        mlp.up_proj,
        mlp.down_proj,
    )
    return all(type(m) is nn.Linear for m in maps) and not hasattr(attention, "q_norm")


def heads(layer: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Queries, keys and values of every token, the first two rotated, side by side: x [N, D] -> [N, heads, size]."""
    norm, attention = layer.input_layernorm, layer.self_attn
    maps = [m for name in "qkv" for m in _map(getattr(attention, f"{name}_proj"))]
    out: Tensor = _compiled(_heads)(x, cos, sin, norm.weight, norm.variance_epsilon, attention.head_dim, *maps)
    return out


def finish(layer: Any, x: Tensor, mixed: Tensor) -> Tensor:
    """What follows the attention: both [N, D] or [N, heads·size] -> [N, D]."""
    norm, mlp = layer.post_attention_layernorm, layer.mlp
    maps = [part for m in (layer.self_attn.o_proj, mlp.gate_proj, mlp.up_proj, mlp.down_proj) for part in _map(m)]
    out: Tensor = _compiled(_finish)(x, mixed, norm.weight, norm.variance_epsilon, *maps)
    return out


@lru_cache
def _compiled(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    compiled: Callable[..., Tensor] = torch.compile(function, dynamic=True)
    return compiled


def _map(linear: Any) -> tuple[Tensor, Tensor | None]:
    return linear.weight, linear.bias


def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon) * weight


def _heads(
    x: Tensor,
    cos: Tensor,
    sin: Tensor,
    norm: Tensor,
    epsilon: float,
    size: int,
    q: Tensor,
    q_bias: Tensor | None,
    k: Tensor,
    k_bias: Tensor | None,
    v: Tensor,
    v_bias: Tensor | None,
) -> Tensor:
    inner = _norm(x, norm, epsilon)
    parts = [F.linear(inner, w, b).view(len(x), -1, size) for w, b in ((q, q_bias), (k, k_bias), (v, v_bias))]
    return torch.cat([_rotate(parts[0], cos, sin), _rotate(parts[1], cos, sin), parts[2]], dim=1)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    left, right = x.chunk(2, dim=-1)
    return torch.cat([left * cos - right * sin, right * cos + left * sin], dim=-1)


def _finish(
    x: Tensor,
    mixed: Tensor,
    norm: Tensor,
    epsilon: float,
    o: Tensor,
    o_bias: Tensor | None,
    gate: Tensor,
    gate_bias: Tensor | None,
    up: Tensor,
    up_bias: Tensor | None,
    down: Tensor,
    down_bias: Tensor | None,
) -> Tensor:
    x = x + F.linear(mixed, o, o_bias)
    inner = _norm(x, norm, epsilon)
    return x + F.linear(F.silu(F.linear(inner, gate, gate_bias)) * F.linear(inner, up, up_bias), down, down_bias)
