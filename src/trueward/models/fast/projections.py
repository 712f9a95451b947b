"""The linear maps of a layer that share an input: q, k, v and gate, up, each a module of its own or all in one (Phi-3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trueward.models.fast.spec import LayerSpec

NARROW = 512  # features: up to here q, k, v and gate, up are joined for each pass; copying larger weights costs more


@dataclass(frozen=True)
class Part:
    """Features of what a linear map gives, from `start` to `stop`."""

    module: Any
    start: int
    stop: int


def whole(module: Any) -> Part:
    """All that a linear map gives."""
    return Part(module, 0, module.out_features)


def qkv_parts(attention: Any, spec: LayerSpec) -> list[Part]:
    """Where q, k and v come from."""
    if hasattr(attention, "qkv_proj"):
        return [Part(attention.qkv_proj, *_range(spec, name)) for name in "qkv"]
    return [whole(getattr(attention, f"{name}_proj")) for name in "qkv"]


def gate_up_parts(mlp: Any) -> list[Part]:
    """Where gate and up come from: they follow each other."""
    if hasattr(mlp, "gate_up_proj"):
        return [whole(mlp.gate_up_proj)]
    return [whole(mlp.gate_proj), whole(mlp.up_proj)]


def heads(attention: Any, spec: LayerSpec, x: Tensor, which: str) -> Tensor:
    """Those of q, k, v that `which` names, side by side: x [N, D] -> [N, heads, size]."""
    if hasattr(attention, "qkv_proj"):
        out = _rows_of(attention.qkv_proj, x, *_range(spec, which))
    else:
        out = _joined(x, *(getattr(attention, f"{name}_proj") for name in which))
    return out.view(len(x), -1, spec.size)


def gate_up(mlp: Any, x: Tensor) -> Tensor:
    """gate and up side by side: x [N, D] -> [N, 2F]."""
    if hasattr(mlp, "gate_up_proj"):
        both: Tensor = mlp.gate_up_proj(x)
        return both
    return _joined(x, mlp.gate_proj, mlp.up_proj)


def _range(spec: LayerSpec, which: str) -> tuple[int, int]:
    """The rows of one matrix for q, k and v that are those that `which` names."""
    start = sum(spec.counts("qkv"[: "qkv".index(which[0])]))
    return start * spec.size, (start + sum(spec.counts(which))) * spec.size


def _rows_of(module: Any, x: Tensor, start: int, stop: int) -> Tensor:
    """The features from `start` to `stop` of what a linear map gives; nothing else is computed if it is no adapter."""
    if (start, stop) == (0, module.out_features):
        whole: Tensor = module(x)
        return whole
    if type(module) is not nn.Linear:
        part: Tensor = module(x)[:, start:stop]
        return part
    return F.linear(x, module.weight[start:stop], None if module.bias is None else module.bias[start:stop])


def _joined(x: Tensor, *modules: Any) -> Tensor:
    """Several maps of one input side by side; as one product where they're linear maps (an adapter is not), and narrow."""
    if len(modules) == 1:
        only: Tensor = modules[0](x)
        return only
    if any(type(m) is not nn.Linear for m in modules) or modules[0].in_features > NARROW:
        return torch.cat([m(x) for m in modules], dim=-1)
    bias = torch.cat([m.bias for m in modules]) if modules[0].bias is not None else None
    return F.linear(x, torch.cat([m.weight for m in modules]), bias)
