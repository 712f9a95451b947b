"""A base's linear layers kept in four bits (`lora.base = "nf4"`), under adapters in float32.

Source: QLoRA (Dettmers et al. 2023, arXiv 2305.14314), by bitsandbytes' kernels: 64 weights share a scale, and each is one of
16 values that split a normal distribution evenly. The scales stay float32 (no double quantisation, which would save .37 bits a
weight): so quantising again what was quantised changes no bit, and a model that is saved from such weights, as plain numbers,
is the model that was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trueward.extras import require

KIND = "nf4"
NEEDS = 'lora.base = "nf4" needs'
BLOCK = 64  # weights that share a scale
BITS = 4 + 32 / BLOCK  # a weight with its part of the scale


@cache
def _library() -> Any:
    require(NEEDS, "nf4")
    try:
        import bitsandbytes.functional
    except Exception as error:  # of a build that doesn't fit this machine's libraries
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f'lora.base = "nf4": bitsandbytes is there and can\'t be imported: {reason}') from None
    return bitsandbytes.functional


def require_library() -> None:
    """`ValueError` in one line where bitsandbytes is missing or can't be imported."""
    require(NEEDS, "nf4")  # whatever the process has imported before
    _library()


class Nf4Linear(nn.Linear):
    """A frozen linear layer in four bits. Made by `quantize`; its weights are plain numbers only while they are multiplied."""

    packed: Tensor
    scales: Tensor

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """The weights as float32, made anew at each call: [out, in]."""
        state = _library().QuantState(
            absmax=self.scales,
            shape=torch.Size((self.out_features * self.in_features,)),
            code=_code(self.packed.device),
            blocksize=BLOCK,
            quant_type=KIND,
            dtype=torch.float32,
        )
        return _unpacked(self.packed, state, self.out_features, self.in_features)

    def forward(self, x: Tensor) -> Tensor:
        """x·Wᵀ + b in the precision that products have here: [..., in] -> [..., out]."""
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
        out: Tensor = _Product.apply(x.to(dtype), self)
        return out if self.bias is None else out + self.bias.to(out.dtype)


class _Product(torch.autograd.Function):
    """x·Wᵀ whose backward pass makes W anew, instead of holding the plain numbers of every layer until then."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: Nf4Linear) -> Tensor:
        """The product."""
        ctx.layer = layer
        with torch.autocast(x.device.type, enabled=False):
            return F.linear(x, layer.weight.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The gradient of x; the weights are frozen."""
        with torch.autocast(grad.device.type, enabled=False):
            return grad @ ctx.layer.weight.to(grad.dtype), None


def require_fit(model: Any) -> None:
    """`ValueError` for a model with a layer that can't be kept so."""
    for _ in _layers(model):
        pass


def quantize(model: Any, device: torch.device | None = None) -> Any:
    """Keep the trunk's linear layers in four bits, in place; the model. Each goes to `device` by itself, before it is rounded.

    `ValueError` where a layer can't be: GPT-2's, which stores its weights transposed.
    """
    for layer in list(_layers(model)):
        weight = layer.weight.detach()
        packed, scales = _packed(weight if device is None else weight.to(device))
        del layer._parameters["weight"]
        layer.register_buffer("packed", packed, persistent=False)
        layer.register_buffer("scales", scales, persistent=False)
        layer.__class__ = Nf4Linear
    return model


def placed(model: Any, device: torch.device) -> Any:
    """The model with tensors of its own on a device, in place of those it shares with others, which stay where they are."""
    moved: dict[int, Any] = {}
    for module in model.modules():
        for own in (module._parameters, module._buffers):
            for name, tensor in own.items():
                if tensor is None or tensor.device == device:
                    continue
                if id(tensor) not in moved:
                    plain = tensor.detach().to(device)
                    is_weight = isinstance(tensor, nn.Parameter)
                    moved[id(tensor)] = nn.Parameter(plain, tensor.requires_grad) if is_weight else plain
                own[name] = moved[id(tensor)]
    return model


@torch.no_grad()
def round_weights(model: Any) -> Any:
    """Give the trunk's linear layers the values that they would have in four bits, as plain numbers, in place; the model."""
    for layer in list(_layers(model)):
        rounded = quantized(layer.weight.detach())
        layer.weight = nn.Parameter(rounded.to(layer.weight.dtype), requires_grad=layer.weight.requires_grad)
    return model


def quantized(weight: Tensor) -> Tensor:
    """What four bits leave of a matrix, as float32: [out, in] -> [out, in]."""
    packed, state = _rounded(weight)
    return _unpacked(packed, state, *weight.shape)


def plain(layer: Nf4Linear) -> nn.Linear:
    """The same layer with its weights as float32."""
    with torch.device("meta"):
        made = nn.Linear(layer.in_features, layer.out_features, bias=False)
    made.weight = nn.Parameter(layer.weight, requires_grad=False)
    made.bias = layer.bias
    return made


def is_quantized(model: nn.Module) -> bool:
    """Whether any of its layers is in four bits."""
    return any(isinstance(module, Nf4Linear) for module in model.modules())


def _packed(weight: Tensor) -> tuple[Tensor, Tensor]:
    packed, state = _rounded(weight)
    return packed, state.absmax


def _rounded(weight: Tensor) -> tuple[Tensor, Any]:
    """bitsandbytes' packed weights and their state.

    As one row: its kernels for AVX-512 (0.50.2) take the scale of another block where a row isn't a whole number of blocks.
    """
    made: tuple[Tensor, Any] = _library().quantize_4bit(weight.float().flatten(), blocksize=BLOCK, quant_type=KIND)
    return made


def _unpacked(packed: Tensor, state: Any, rows: int, columns: int) -> Tensor:
    numbers: Tensor = _library().dequantize_4bit(packed, state)
    return numbers.view(rows, columns)


@cache
def _code(device: torch.device) -> Tensor:
    code: Tensor = _library().get_4bit_type(KIND, device=device)
    return code


def _layers(model: Any) -> Iterator[nn.Linear]:
    """The trunk's plain linear layers, those under adapters too."""
    from transformers.pytorch_utils import Conv1D

    for name, module in model.base_model.named_modules():
        if isinstance(module, Conv1D):
            raise ValueError(
                f'lora.base = "nf4": {name} stores its weights transposed, which four bits aren\'t made for'
            )
        if type(module) is nn.Linear and ".lora_" not in name:
            yield module
