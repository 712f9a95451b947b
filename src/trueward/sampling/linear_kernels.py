"""A layer's matrix product x·Wᵀ + b, with the weights laid out once for the many times that a sampler needs them.

Which layout is fastest depends on the size: small matrices stay in the cache and are fastest transposed, large ones are read
from memory for every token and gain a quarter to a half from oneDNN's own layout. Both give F.linear's numbers, but for
rounding. Int8 and Bfloat16 are coarser, smaller and faster: another policy, which importance weights correct for.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from trueward.models import precision

SMALLEST = 1e-30  # a step that is not 0, for rows that are
BLOCK = 256  # rows of weights that are made whole numbers at a time, so that they stay in the cache
MANY = 64  # rows: from here on reading the weights is not what takes the time
LARGE = 300_000  # weights: from here on a matrix is packed


class LinearKernel(Protocol):
    """The product with one matrix W [m, k] and, if there is one, a bias b [m], both given when it is made."""

    def __call__(self, x: Tensor) -> Tensor:
        """x·Wᵀ + b: [..., k] -> [..., m], maybe of a coarser type than x."""

    def onto(self, x: Tensor, other: Tensor) -> Tensor:
        """other + x·Wᵀ + b for x [n, k] and other [n, m]; may write into `other`."""


class Transposed:
    """W stored as [k, m]."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight, self.bias = weight.t().contiguous(), bias

    def __call__(self, x: Tensor) -> Tensor:
        """As `LinearKernel`."""
        out = torch.mm(x.reshape(-1, x.shape[-1]), self.weight)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], -1)

    def onto(self, x: Tensor, other: Tensor) -> Tensor:
        """As `LinearKernel`."""
        if self.bias is not None:
            other = other + self.bias
        return torch.addmm(other, x, self.weight)


class Packed:
    """W in oneDNN's own layout. `is_there` says whether this build of torch has it."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.weight, self.bias = _pack(weight), bias

    def __call__(self, x: Tensor) -> Tensor:
        """As `LinearKernel`."""
        flat = x.reshape(-1, x.shape[-1])
        return _packed_linear(flat, self.weight, self.bias).view(*x.shape[:-1], -1)

    def onto(self, x: Tensor, other: Tensor) -> Tensor:
        """As `LinearKernel`."""
        return self(x).add_(other)

    @staticmethod
    @cache
    def is_there() -> bool:
        """Whether the operators work, tried on a small product: they are internal to torch, and may change."""
        x, weight = torch.linspace(-1, 1, 24).view(3, 8), torch.linspace(1, 2, 40).view(5, 8)
        try:
            found = Packed(weight)(x)
        except (AttributeError, RuntimeError, TypeError):
            return False
        return torch.allclose(found, F.linear(x, weight), atol=1e-5)


class Int8:
    """W in whole numbers of a step of its own for each row, max |W_i| / 127; x likewise, in two digits.

    A row of x is s·(a + b/127) with a and b from −127 to 127: one digit alone is .085 nats a token away from float32 on
    SmolLM2-135M, whose activations have outliers, two are .007, which is what the weights cost. Whole numbers add up
    exactly, so what a row gives does not depend on the rows beside it but in its last bit: few rows are one product with
    both digits as rows, which reads the weights once, many are two, the second of which adds to the first.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        weight, self.bias = weight.float(), bias
        self.step = torch.empty_like(weight[:, 0])
        digits = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
        for at in range(0, len(weight), BLOCK):
            part = weight[at : at + BLOCK]
            step = (part.abs().amax(1) / 127).clamp_(min=SMALLEST)
            self.step[at : at + BLOCK] = step
            digits[at : at + BLOCK] = (part / step[:, None]).round_()
        self.fast = weight.device.type == "cpu" and weight.dtype == torch.float32 and self.is_there()
        self.weight: Any = _pack_int8(digits) if self.fast else digits.to(weight.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """As `LinearKernel`."""
        flat = x.reshape(-1, x.shape[-1]).float()
        step = (flat.abs().amax(1, keepdim=True) / 127).clamp_(min=SMALLEST)
        whole = flat / step
        first = whole.to(torch.int8)  # towards 0
        second = whole.sub_(first).mul_(127).to(torch.int8)
        if self.fast and len(flat) >= MANY:
            out = _int8_linear(second, self.weight, self.step, 1 / 127)
            out = _int8_linear(first, self.weight, self.step, 1.0, out).mul_(step)
        else:
            digits = torch.cat([first, second])
            found = (
                _int8_linear(digits, self.weight, self.step)
                if self.fast
                else F.linear(digits.to(self.weight.dtype), self.weight) * self.step
            )
            high, low = found.chunk(2)
            out = torch.add(high, low, alpha=1 / 127).mul_(step)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], -1)

    def onto(self, x: Tensor, other: Tensor) -> Tensor:
        """As `LinearKernel`."""
        return self(x).add_(other)

    @staticmethod
    @cache
    def is_there() -> bool:
        """Whether the operators work, tried on a small product, whose sums are whole numbers.

        Its digits are as large as any: a processor that adds up products of bytes in 16 bits (one without VNNI) is exact
        for small ones and cuts off the sums of large ones.
        """
        digits = torch.cat([torch.full((2, 64), 127), torch.arange(-64, 64).view(2, 64), torch.full((1, 64), -127)]).to(
            torch.int8
        )
        weight = torch.cat(
            [torch.full((2, 64), 127), torch.arange(-96, 96).view(3, 64), torch.full((1, 64), -127)]
        ).float()
        try:
            found = _int8_linear(digits, _pack_int8(weight.to(torch.int8)), torch.full((6,), 0.5))
            found = _int8_linear(digits, _pack_int8(weight.to(torch.int8)), torch.full((6,), 0.5), 2.0, found)
        except (AttributeError, RuntimeError, TypeError):
            return False
        return torch.equal(found, F.linear(digits.float(), weight) * 1.5)


class Bfloat16:
    """W and x rounded to bfloat16, summed in float32, the sum rounded to bfloat16 again, which is what it gives.

    Half the bytes, and several times as fast where the processor multiplies bfloat16 itself (AMX); slower than float32 where it
    doesn't.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        self.bias = bias
        rounded = weight.to(torch.bfloat16)
        self.fast = weight.device.type == "cpu" and self.is_there()
        self.weight: Any = _pack(rounded) if self.fast else rounded

    def __call__(self, x: Tensor) -> Tensor:
        """As `LinearKernel`; in bfloat16."""
        flat = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
        out = _packed_linear(flat, self.weight, None) if self.fast else F.linear(flat, self.weight)
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], -1)

    def onto(self, x: Tensor, other: Tensor) -> Tensor:
        """As `LinearKernel`."""
        return other.add_(self(x))

    @staticmethod
    @cache
    def is_there() -> bool:
        """Whether the operators work, tried on a small product, all of whose numbers bfloat16 holds."""
        x = torch.arange(-12, 12, dtype=torch.bfloat16).view(3, 8)
        weight = torch.arange(-20, 20, dtype=torch.bfloat16).view(5, 8) / 32
        try:
            found = _packed_linear(x, _pack(weight), None)
        except (AttributeError, RuntimeError, TypeError):
            return False
        return found.dtype == torch.bfloat16 and torch.allclose(found.float(), x.float() @ weight.float().T, rtol=2**-7)

    @classmethod
    def shares(cls, weight: Tensor) -> bool:
        """Whether it takes a matrix as it is, in the memory that it has."""
        return weight.dtype is torch.bfloat16 and not (weight.device.type == "cpu" and cls.is_there())


class SideBySide:
    """Several products of one input, one after the other, what they give side by side: nothing is copied to join them."""

    def __init__(self, kernels: list[LinearKernel]) -> None:
        self.kernels = kernels

    def __call__(self, x: Tensor) -> Tensor:
        """As `LinearKernel`."""
        return torch.cat([kernel(x) for kernel in self.kernels], dim=-1)

    def onto(self, x: Tensor, other: Tensor) -> Tensor:
        """As `LinearKernel`."""
        return other.add_(self(x))


class Wide:
    """W and x rounded to bfloat16, the sum left in float32: a head, whose logits are compared with the learner's."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        rounded = weight.to(torch.bfloat16)
        sums_wide = rounded.device.type in precision.WIDE
        self.inner = None if sums_wide else linear_kernel(rounded.float())
        self.weight, self.bias = rounded.t() if sums_wide else None, bias

    def __call__(self, x: Tensor) -> Tensor:
        """As `LinearKernel`; float32."""
        flat = x.reshape(-1, x.shape[-1]).to(torch.bfloat16)
        out = precision.wide_product(flat, self.weight) if self.inner is None else self.inner(flat.float())  # type: ignore[arg-type]
        if self.bias is not None:
            out += self.bias
        return out.view(*x.shape[:-1], -1)

    def onto(self, x: Tensor, other: Tensor) -> Tensor:
        """As `LinearKernel`."""
        return other.add_(self(x))


class Adapted:
    """W·x + s·B·(A·x), the adapter apart and in bfloat16, as the learner has it: added to W it would be rounded with it."""

    def __init__(self, inner: LinearKernel, down: Tensor, up: Tensor, scale: float) -> None:
        """down: A [r, k]. up: B [m, r]. scale: s."""
        self.inner, self.scale = inner, scale
        self.down, self.up = down.to(torch.bfloat16), up.to(torch.bfloat16)

    def __call__(self, x: Tensor) -> Tensor:
        """As `LinearKernel`; in bfloat16."""
        low = F.linear(F.linear(x.to(torch.bfloat16), self.down), self.up)
        return self.inner(x) + low * self.scale

    def onto(self, x: Tensor, other: Tensor) -> Tensor:
        """As `LinearKernel`."""
        return other.add_(self(x))


def linear_kernel(weight: Tensor, bias: Tensor | None = None, quantize: str = "none") -> LinearKernel:
    """The fastest kernel for a matrix of this size; `quantize` as in `[sampler.engine]`, or "wide" for bfloat16 with sums in
    float32."""
    weight = weight.detach()
    bias = None if bias is None else bias.detach()
    if quantize == "wide":
        return Wide(weight, bias)
    if quantize == "int8":
        return Int8(weight, bias)
    if quantize == "bfloat16":
        return Bfloat16(weight, bias)
    if weight.numel() >= LARGE and weight.device.type == "cpu" and weight.dtype == torch.float32 and Packed.is_there():
        return Packed(weight, bias)
    return Transposed(weight, bias)


def _pack(weight: Tensor) -> Any:
    return torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 64)  # 64 rows: a hint, any number will do


def _packed_linear(x: Tensor, weight: Any, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return out


def _pack_int8(digits: Tensor) -> Any:
    return torch.ops.onednn.qlinear_prepack(digits, [64, digits.shape[1]])


def _int8_linear(x: Tensor, weight: Any, step: Tensor, factor: float = 1.0, onto: Tensor | None = None) -> Tensor:
    """factor · step · (x·Wᵀ) in float32, written into `onto` in addition to what is there, if it is given."""
    zero = torch.zeros(len(step), dtype=torch.int64)
    operators, last = torch.ops.onednn, (None, 1.0, 0, torch.float32)
    out: Tensor
    if onto is None:
        out = operators.qlinear_pointwise(x, factor, 0, weight, step, zero, *last, "none", [], "")
    else:
        out = operators.qlinear_pointwise.binary(
            x, factor, 0, weight, step, zero, onto, *last, 1.0, 0, "sum", 1.0, "none", [], ""
        )
    return out
