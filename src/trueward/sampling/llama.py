"""The fast path for Llama models: the same numbers as transformers but for rounding.

- Products that share an input are one (q, k, v; gate, up), their weights laid out once (sampling/linear_kernels.py).
- The weights of a norm and attention's 1/√d are multiplied into the product that follows.
- Pairs of a rotary embedding lie beside each other, so that a rotation is one product of complex numbers.
- With products in bfloat16 (models/precision.py) neither is: the learner rounds its matrices as they are, and its norms' rows.
- The cache has a fixed size and rows come and go; a prompt that several rows share is read once, and no padding is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trueward import transfers
from trueward.models import lora, precision
from trueward.models.fast.attention import attend
from trueward.models.lora import weight
from trueward.sampling.linear_kernels import Adapted, LinearKernel, linear_kernel


@dataclass(frozen=True)
class Layer:
    """One layer's matrices, laid out for decoding."""

    qkv: LinearKernel
    out: LinearKernel
    gate_up: LinearKernel
    down: LinearKernel
    before: Tensor | None  # the weights of the norms, where they are not in the product that follows
    between: Tensor | None


class LlamaDecoder:
    """Decodes with the weights of a `LlamaForCausalLM`, as they are when it's made."""

    refills = True

    @staticmethod
    def covers(model: Any) -> bool:
        """Whether the model is one that this class computes exactly."""
        scaling = getattr(model.config, "rope_parameters", None) or {}
        return (
            model.config.model_type == "llama"
            and scaling.get("rope_type", "default") in ("default", "linear", "llama3")
            and scaling.get("partial_rotary_factor", 1.0) == 1.0
        )

    def __init__(self, model: Any, quantize: str = "none") -> None:
        config, body = model.config, model.model
        self.quantize, self.is_low = quantize, precision.is_low(model)
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.epsilon = config.rms_norm_eps
        self.scale = self.size**-0.5 if self.is_low else 1.0  # else it is in the queries' product
        self.embedding = body.embed_tokens.weight.detach()
        if self.is_low:
            self.embedding = self.embedding.to(precision.LOW)
        self.rotary, self.activation = body.rotary_emb, body.layers[0].mlp.act_fn
        self.layers = [self._layer(layer) for layer in body.layers]
        self.head, self.norm = self._after(body.norm.weight, model.lm_head.weight, is_head=True)
        self.used = 0

    def start(self, rows: int, width: int) -> None:
        """As `Decoder`: allocates the cache."""
        device = self.embedding.device
        shape = (len(self.layers), rows, self.kv_heads, width, self.size)
        self.keys = torch.zeros(shape, device=device, dtype=self.embedding.dtype)
        self.values = torch.zeros(shape, device=device, dtype=self.embedding.dtype)
        # The model's own rotary embedding, so that scaled variants come out right: cos and sin for each position.
        like = self.keys.new_empty(0, dtype=torch.float32) if self.is_low else self.keys
        cos, sin = self.rotary(like, torch.arange(width, device=device)[None])
        self.turns = torch.complex(cos[0], sin[0])[:, : self.size // 2]  # [width, d/2]; both halves are the same
        self.columns = torch.arange(width, device=device)
        self.kv = torch.arange(self.kv_heads, device=device)
        self.used = 0

    def prefill(self, at: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """As `Decoder`: each different prompt is read once."""
        marked = torch.cat([ids, lengths[:, None]], dim=1)  # padding is no token's own: the length tells
        once, of = torch.unique(marked, dim=0, return_inverse=True)
        self.used = max(self.used, int(at.max()) + 1)
        at, of = transfers.moved_together([at, of], self.embedding.device)
        last = self._read(at, once[:, :-1], once[:, -1], of)
        return self.head(self._normal(last, self.norm)).to(last.dtype)[of]

    def _read(self, at: Tensor, ids: Tensor, lengths: Tensor, of: Tensor) -> Tensor:
        """Prompts [n, T] into the rows `at`, row i getting prompt of[i]; the state at each prompt's last token, [n, D].

        Products see the prompts one after the other, without padding; only the attention works on padded blocks. Prompts and
        their lengths are in the host's memory.
        """
        count, width = ids.shape
        heads, kv = self.heads, self.kv_heads
        real = (torch.arange(width) < lengths[:, None]).view(-1).nonzero().squeeze(1)  # places in the padded block
        full = len(real) == count * width
        ends = lengths.cumsum(0) - 1
        together = [ids.reshape(-1)[real], real % width, real[ends], ends, real]
        read, columns, last, ends, real = transfers.moved_together(together, self.embedding.device)
        turns = self.turns[columns][:, None]
        x = self._embedded(read)
        for i, layer in enumerate(self.layers):
            qkv = layer.qkv(self._normal(x, layer.before)).to(x.dtype).view(len(x), heads + 2 * kv, self.size)
            turned = _rotate(qkv[:, : heads + kv], turns)
            qkv = torch.cat([turned, qkv[:, heads + kv :]], dim=1).to(self.embedding.dtype)
            if not full:
                qkv = qkv.new_zeros(count * width, *qkv.shape[1:]).index_copy_(0, real, qkv)
            q, k, v = qkv.view(count, width, -1, self.size).transpose(1, 2).split([heads, kv, kv], dim=1)
            self.keys[i][at, :, :width], self.values[i][at, :, :width] = k[of], v[of]
            mixed = attend(q, k, v, None, self.scale)
            mixed = mixed.transpose(1, 2).reshape(count * width, -1)
            if layer is self.layers[-1]:  # what is above its keys and values is needed at the last token alone
                mixed, x = mixed[last], x[ends]
            elif not full:
                mixed = mixed[real]
            x = self._finish(layer, x, mixed)
        return x

    def step(self, ids: Tensor, positions: Tensor, width: int) -> Tensor:
        """As `Decoder`."""
        count = len(ids)
        heads, kv, size = self.heads, self.kv_heads, self.size
        x = self._embedded(ids)
        turns = self.turns[positions][:, None]
        rows = torch.arange(count, device=ids.device)[:, None] * kv + self.kv
        at = (rows * self.keys.shape[3] + positions[:, None]).view(-1)  # of a cache [rows · kv · width, d]
        unseen = torch.zeros(count, 1, width, dtype=self.embedding.dtype, device=x.device)
        unseen.masked_fill_((self.columns[:width] > positions[:, None])[:, None], -math.inf)
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            qkv = layer.qkv(self._normal(x, layer.before)).to(x.dtype).view(count, heads + 2 * kv, size)
            turned = _rotate(qkv[:, : heads + kv], turns).to(keys.dtype)
            keys.view(-1, size).index_copy_(0, at, turned[:, heads:].reshape(-1, size))
            values.view(-1, size).index_copy_(0, at, qkv[:, heads + kv :].reshape(-1, size).to(keys.dtype))
            # The queries of a group stand beside each other as the rows of one product with the group's keys.
            q = turned[:, :heads].reshape(count * kv, heads // kv, size)
            if self.is_low:  # as the learner's attention: weights in float32
                k, v = keys[:count, :, :width], values[:count, :, :width]
                mixed = attend(q.view(count, kv, -1, size), k, v, unseen[:, None], self.scale)
                x = self._finish(layer, x, mixed.reshape(count, heads * size))
                continue
            scores = torch.bmm(q, keys[:count, :, :width].flatten(0, 1).transpose(1, 2))
            weights = scores.view(count, heads, width).add_(unseen).softmax(-1)
            mixed = torch.bmm(weights.view(q.shape[0], -1, width), values[:count, :, :width].flatten(0, 1))
            x = self._finish(layer, x, mixed.view(count, heads * size))
        return self.head(self._normal(x, self.norm)).to(x.dtype)

    def keep(self, rows: Tensor) -> None:
        """As `Decoder`: only rows that change their place are copied."""
        if len(rows) == self.used:
            return
        moving = rows != torch.arange(len(rows))
        together = [moving.nonzero().squeeze(1), rows[moving]]
        if moving.any():
            to, source = transfers.moved_together(together, self.embedding.device)
            self.keys[:, to], self.values[:, to] = self.keys[:, source], self.values[:, source]
        self.used = len(rows)

    def _embedded(self, ids: Tensor) -> Tensor:
        x = F.embedding(ids, self.embedding)
        return x.float() if self.is_low else x

    def _normal(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """x over its root mean square, times the norm's weights where they are not in the product that follows."""
        normal: Tensor = x * x.square().mean(-1, keepdim=True).add_(self.epsilon).rsqrt_()
        return normal if weight is None else normal.mul_(weight)

    def _finish(self, layer: Layer, x: Tensor, mixed: Tensor) -> Tensor:
        x = layer.out.onto(mixed, x)
        gate, up = layer.gate_up(self._normal(x, layer.between)).chunk(2, dim=-1)
        out: Tensor = layer.down.onto(self.activation(gate) * up, x)
        return out

    def _layer(self, layer: Any) -> Layer:
        attention, mlp = layer.self_attn, layer.mlp
        scale = 1.0 if self.is_low else self.size**-0.5

        def rows(module: Any, turned: bool = False, factor: float = 1.0) -> tuple[Tensor, Tensor | None]:
            made = [
                None if t is None else _paired(t * factor, self.size) if turned else t
                for t in (self._weight(module), module.bias)
            ]
            assert made[0] is not None
            return made[0], made[1]

        def joined(norm: Tensor, *parts: tuple[Tensor, Tensor | None]) -> tuple[LinearKernel, Tensor | None]:
            biases = [bias for _, bias in parts if bias is not None]
            return self._after(norm, *(w for w, _ in parts), bias=torch.cat(biases) if biases else None)

        def alone(module: Any) -> LinearKernel:
            return self._adapted(linear_kernel(self._weight(module), module.bias, self._kind()), module)

        q, k = rows(attention.q_proj, True, scale), rows(attention.k_proj, True)
        qkv, before = joined(layer.input_layernorm.weight, q, k, rows(attention.v_proj))
        gate_up, between = joined(layer.post_attention_layernorm.weight, rows(mlp.gate_proj), rows(mlp.up_proj))
        return Layer(
            qkv=self._adapted(qkv, attention.q_proj, attention.k_proj, attention.v_proj, turned=2),
            out=alone(attention.o_proj),
            gate_up=self._adapted(gate_up, mlp.gate_proj, mlp.up_proj),
            down=alone(mlp.down_proj),
            before=before,
            between=between,
        )

    def _weight(self, module: Any) -> Tensor:
        """What a product takes: W, with the adapter in it where that is not apart."""
        plain: Tensor = getattr(module, "base_layer", module).weight
        return plain if self._apart else weight(module)

    @property
    def _apart(self) -> bool:
        return self._kind() == "bfloat16" and self.is_low

    def _adapted(self, kernel: LinearKernel, *modules: Any, turned: int = 0) -> LinearKernel:
        """The product with the adapters of these layers, whose rows stand below each other; the first `turned` in pairs."""
        found = [lora.factors(module) for module in modules]
        if not self._apart or not any(found):
            return kernel
        downs = [f[0] for f in found if f]
        ups = [
            f[1] if f else module.weight.new_zeros(module.out_features, 0)
            for f, module in zip(found, modules, strict=True)
        ]
        ups = [_paired(up, self.size) if i < turned and up.shape[1] else up for i, up in enumerate(ups)]
        scale = next(f[2] for f in found if f)
        return Adapted(kernel, torch.cat(downs), torch.block_diag(*(up.float() for up in ups)), scale)

    def _kind(self, is_head: bool = False) -> str:
        """Which kernel computes a product (`linear_kernel`)."""
        if self.is_low and self.quantize == "none":
            return "wide" if is_head else "bfloat16"
        return self.quantize

    def _after(
        self, norm: Tensor, *parts: Tensor, bias: Tensor | None = None, is_head: bool = False
    ) -> tuple[LinearKernel, Tensor | None]:
        """The product after a norm, its parts below each other: with the norm's weights multiplied in, or beside it where
        that would coarsen whole numbers, or other numbers than the learner's."""
        weights = [part.detach() for part in parts]
        if self.quantize == "int8" or self.is_low:
            return linear_kernel(torch.cat(weights), bias, self._kind(is_head)), norm.detach()
        whole = torch.empty(sum(len(w) for w in weights), len(norm), dtype=norm.dtype, device=norm.device)
        for part, place in zip(weights, whole.split([len(w) for w in weights]), strict=True):
            torch.mul(part, norm.detach(), out=place)
        return linear_kernel(whole, bias, self.quantize), None


def _paired(x: Tensor, size: int) -> Tensor:
    """Rows of heads of `size`, which Llama rotates by halves, so that the two of a pair stand beside each other."""
    return x.view(-1, 2, size // 2, *x.shape[1:]).transpose(1, 2).reshape(x.shape)


def _rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) of pairs: [..., d] times cos + i·sin [..., d/2]."""
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2)
