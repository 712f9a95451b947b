"""A model's matrices laid out for the many times that a sampler needs them, once for each set of weights.

- Products that share an input are one (q, k, v; gate, up).
- The weights of a norm and the attention's scale are multiplied into the product that follows, or into the norm of the queries.
- Pairs of a rotary embedding lie beside each other, so that a rotation is one product of complex numbers.
- With products in bfloat16 (models/precision.py) neither is multiplied in: the learner rounds its matrices as they are, and its
  norms' rows. On an accelerator frozen matrices, which are kept rounded, are the model's own then, but for q and k.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trueward.models import lora
from trueward.models.fast import projections
from trueward.models.fast.projections import Part
from trueward.models.fast.spec import LayerSpec, feed_forward_norms, norm_scale
from trueward.sampling.linear_kernels import Adapted, Bfloat16, LinearKernel, SideBySide, linear_kernel


@dataclass(frozen=True)
class Layer:
    """One layer's matrices, laid out for decoding, and the weights of norms that are in none of them."""

    qkv: LinearKernel
    out: LinearKernel
    gate_up: LinearKernel
    down: LinearKernel
    before: Tensor | None
    between: Tensor | None
    after_attention: Tensor | None
    after: Tensor | None
    of_queries: Tensor | None
    of_keys: Tensor | None


@dataclass(frozen=True)
class WeightLayout:
    """How matrices are laid out. turned: features of a head that are rotated."""

    quantize: str
    is_low: bool

    def layer(self, layer: Any, spec: LayerSpec, turned: int) -> Layer:
        """A layer's matrices."""
        attention, mlp = layer.self_attn, layer.mlp
        before, after_attention, after = feed_forward_norms(layer)
        has_norms = hasattr(attention, "q_norm")
        scale = 1.0 if self.is_low else spec.scale
        parts = projections.qkv_parts(attention, spec)
        rows = [self._rows(part) for part in parts]
        for i, factor in enumerate((1.0 if has_norms else scale, 1.0)):  # of queries and of keys
            rows[i] = [None if t is None else paired(t * factor, spec.size, turned) for t in rows[i]]
        qkv, weights = self._joined(layer.input_layernorm, rows)
        gates = projections.gate_up_parts(mlp)
        gate_up, between = self._joined(before, [self._rows(part) for part in gates])
        return Layer(
            qkv=self._adapted(qkv, parts, spec.size, turned),
            out=self._alone(attention.o_proj),
            gate_up=self._adapted(gate_up, gates),
            down=self._alone(mlp.down_proj),
            before=weights,
            between=between,
            after_attention=None if after_attention is None else norm_scale(after_attention).detach(),
            after=None if after is None else norm_scale(after).detach(),
            of_queries=paired(norm_scale(attention.q_norm).detach() * scale, spec.size, turned) if has_norms else None,
            of_keys=paired(norm_scale(attention.k_norm).detach(), spec.size, turned) if has_norms else None,
        )

    def after(
        self, norm: Any, *parts: Tensor, bias: Tensor | None = None, is_head: bool = False
    ) -> tuple[LinearKernel, Tensor | None]:
        """The product after a norm, its parts below each other: with the norm's weights multiplied in, or beside it where
        that would coarsen whole numbers, or other numbers than the learner's."""
        weights, scale = [part.detach() for part in parts], norm_scale(norm).detach()
        if self._apart and not is_head and all(Bfloat16.shares(weight) for weight in weights):
            biases = [None] * len(weights) if bias is None else bias.split([len(w) for w in weights])
            return SideBySide([Bfloat16(w, b) for w, b in zip(weights, biases, strict=True)]), scale
        if self.quantize == "int8" or self.is_low:
            return linear_kernel(torch.cat(weights), bias, self._kind(is_head)), scale
        whole = torch.empty(sum(len(w) for w in weights), len(scale), dtype=scale.dtype, device=scale.device)
        for part, place in zip(weights, whole.split([len(w) for w in weights]), strict=True):
            torch.mul(part, scale, out=place)
        return linear_kernel(whole, bias, self.quantize), None

    def _rows(self, part: Part) -> list[Tensor | None]:
        """A part's rows of what a product takes, W with the adapter in it where that is not apart; and its bias."""
        module = part.module
        plain: Tensor = getattr(module, "base_layer", module).weight if self._apart else lora.weight(module)
        return [plain[part.start : part.stop], None if module.bias is None else module.bias[part.start : part.stop]]

    def _joined(self, norm: Any, rows: list[list[Tensor | None]]) -> tuple[LinearKernel, Tensor | None]:
        biases = [bias for _, bias in rows if bias is not None]
        weights = [weight for weight, _ in rows if weight is not None]
        return self.after(norm, *weights, bias=torch.cat(biases) if biases else None)

    def _alone(self, module: Any) -> LinearKernel:
        part = projections.whole(module)
        weight, bias = self._rows(part)
        assert weight is not None
        return self._adapted(linear_kernel(weight, bias, self._kind()), [part])

    @property
    def _apart(self) -> bool:
        return self._kind() == "bfloat16" and self.is_low

    def _adapted(self, kernel: LinearKernel, parts: list[Part], size: int = 1, turned: int = 0) -> LinearKernel:
        """The product with the adapters of these layers, whose rows stand below each other; q's and k's in pairs."""
        found = [lora.factors(part.module) for part in parts]
        if not self._apart or not any(found):
            return kernel
        downs = [f[0] for f in found if f]
        ups = [
            f[1][part.start : part.stop] if f else part.module.weight.new_zeros(part.stop - part.start, 0)
            for f, part in zip(found, parts, strict=True)
        ]
        ups = [paired(up, size, turned) if i < 2 and turned and up.shape[1] else up for i, up in enumerate(ups)]
        scale = next(f[2] for f in found if f)
        return Adapted(kernel, torch.cat(downs), torch.block_diag(*(up.float() for up in ups)), scale)

    def _kind(self, is_head: bool = False) -> str:
        """Which kernel computes a product (`linear_kernel`)."""
        if self.is_low and self.quantize == "none":
            return "wide" if is_head else "bfloat16"
        return self.quantize


def paired(x: Tensor, size: int, turned: int) -> Tensor:
    """Rows of heads of `size`, which are rotated by halves of the first `turned`, so that the two of a pair stand together."""
    if turned < size:
        heads = x.view(-1, size, *x.shape[1:])
        if not turned:
            return x
        return torch.cat(
            [paired(heads[:, :turned].flatten(0, 1), turned, turned).view_as(heads[:, :turned]), heads[:, turned:]], 1
        ).view_as(x)
    return x.view(-1, 2, size // 2, *x.shape[1:]).transpose(1, 2).reshape(x.shape)
