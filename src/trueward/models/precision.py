"""The precision of products (`model.dtype`): float32, or bfloat16 with everything between the products in float32.

In bfloat16 the factors of a product are rounded, and are summed in float32. Products inside a layer give bfloat16; the states
that run through the layers, norms, angles, logits, scores and values are float32. Weights that learn stay float32, and are
rounded where a product takes them; frozen matrices are kept rounded (`keep`), which changes no number. So a policy and the
reference that it started from give the same logits, whichever of them is kept in what.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

NAME = "trueward_dtype"  # attribute of a model, copied with it and never saved
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
LOW = torch.bfloat16
WIDE = frozenset(
    {"cuda"} if hasattr(torch.ops.aten.mm, "dtype") else ()
)  # kinds of devices that sum bfloat16 into float32


def pick(name: str, device: torch.device) -> torch.dtype:
    """`auto`: bfloat16 on CUDA, else float32."""
    if name == "auto":
        return LOW if device.type == "cuda" else torch.float32
    return DTYPES[name]


def of(model: Any) -> torch.dtype:
    """The precision of a model's products: what `settle` noted, else that of its weights."""
    noted: torch.dtype | None = getattr(model, NAME, None)
    if noted is not None:
        return noted
    return LOW if getattr(model, "dtype", None) is LOW else torch.float32


def is_low(model: Any) -> bool:
    """Whether its products are in bfloat16."""
    return of(model) is LOW


def settle(model: Any, dtype: torch.dtype) -> None:
    """Note the precision of a model's products, in place. Its weights stay as they are. A table has no products."""
    if dtype is not LOW or not hasattr(model, "get_input_embeddings"):
        return
    setattr(model, NAME, dtype)
    embedding = model.get_input_embeddings()
    if type(embedding) is nn.Embedding and _rounded_output not in embedding._forward_hooks.values():
        embedding.register_forward_hook(_rounded_output)
    for module in model.modules():
        if type(module) is nn.Linear and module.out_features == 1:
            module.__class__ = Float32Linear
    head = model.get_output_embeddings()
    head = getattr(head, "base_layer", head)
    if type(head) is nn.Linear:
        head.__class__ = WideLinear


def keep(model: Any) -> Any:
    """Frozen matrices of a model with products in bfloat16 are kept rounded, in place; the model. Adapters stay float32."""
    if is_low(model):
        for parameter in _matrices(model):
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(LOW)
    return model


def masters(model: Any) -> Any:
    """Weights that learn in float32, in place; the model."""
    for parameter in model.parameters():
        if parameter.requires_grad and parameter.dtype is LOW:
            parameter.data = parameter.data.float()
    return model


def rounded_copy(model: Any) -> Any:
    """A second network with all matrices rounded, the other weights shared; itself where there's nothing to round."""
    if not is_low(model):
        return model
    low = {id(p): nn.Parameter(p.detach().to(LOW), requires_grad=False) for p in _matrices(model) if p.dtype is not LOW}
    every = {id(t): t for t in (*model.parameters(), *model.buffers())} | low
    return copy.deepcopy(model, every) if low else model


def products(model: Any) -> AbstractContextManager[Any]:
    """Within this scope the model's products are in its precision."""
    return _autocast(torch.device(model.device), True) if is_low(model) else nullcontext()


def now(x: Tensor) -> torch.dtype:
    """What a product makes of x here: bfloat16 within `products`, else x's own."""
    kind = kind_of(x.device)
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def kind_of(device: torch.device) -> str:
    """What torch's autocast calls a device."""
    return device.type


def wide_product(a: Tensor, b: Tensor) -> Tensor:
    """a·b of two matrices in bfloat16, summed into float32, which it gives."""
    a, b = a.to(LOW), b.to(LOW)
    with _autocast(a.device, False):
        if a.device.type in WIDE:
            return torch.mm(a, b, out_dtype=torch.float32)
        return a.float() @ b.float()


def _autocast(device: torch.device, enabled: bool) -> AbstractContextManager[Any]:
    # Without torch's cache of rounded weights: each is used once in a pass, and it would hold all of them.
    return torch.autocast(kind_of(device), LOW, enabled=enabled, cache_enabled=False)


def _rounded_output(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output.to(LOW).float()


def _matrices(model: Any) -> Iterator[nn.Parameter]:
    """Matrices that only products and the token embedding read, each once; an adapter's and a scalar head's are none."""
    from transformers.pytorch_utils import Conv1D

    embedding = model.get_input_embeddings()
    found: dict[int, nn.Parameter] = {}
    others: set[int] = set()
    for name, module in model.named_modules():
        plain = isinstance(module, nn.Linear | Conv1D) and not isinstance(module, Float32Linear)
        plain |= module is embedding and type(module) is nn.Embedding
        for part, parameter in module.named_parameters(recurse=False):
            if plain and part == "weight" and ".lora_" not in name:
                found[id(parameter)] = parameter
            else:
                others.add(id(parameter))
    return (p for key, p in found.items() if key not in others)


class _WideProduct(torch.autograd.Function):
    """x·Wᵀ in bfloat16 with sums and gradients in float32: x [N, D], W [M, D] -> [N, M]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        """The product."""
        ctx.save_for_backward(x.to(LOW), weight)
        ctx.dtypes = x.dtype, weight.dtype
        return wide_product(x, weight.t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The gradients of x and W, where they are needed."""
        x, weight = ctx.saved_tensors
        for_x = wide_product(grad, weight).to(ctx.dtypes[0]) if ctx.needs_input_grad[0] else None
        return for_x, wide_product(grad.t(), x).to(ctx.dtypes[1]) if ctx.needs_input_grad[1] else None


class WideLinear(nn.Linear):
    """A head's product: of bfloat16, into float32. A model's plain head becomes one."""

    def forward(self, x: Tensor) -> Tensor:
        """x·Wᵀ + b: [..., D] -> [..., M], float32."""
        out: Tensor = _WideProduct.apply(x.flatten(0, -2), self.weight).unflatten(0, x.shape[:-1])
        return out if self.bias is None else out + self.bias


class Float32Linear(nn.Linear):
    """A head of one number: in float32, whatever stands around it."""

    def forward(self, x: Tensor) -> Tensor:
        """x·Wᵀ + b: [..., D] -> [..., 1]."""
        with _autocast(x.device, False):
            return F.linear(x.to(self.weight.dtype), self.weight, self.bias)
