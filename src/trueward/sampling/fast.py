"""The fast path of sampling: the same numbers as transformers but for rounding, for the families of models/fast/spec.py.

The weights are laid out once (sampling/layer_weights.py). The cache has a fixed size and rows come and go; a prompt that
several rows share is read once, and no padding is.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trueward import transfers
from trueward.batches import Tokens
from trueward.models import nf4, precision
from trueward.models.fast import proof, spec
from trueward.models.fast.attention import attend, capped
from trueward.sampling.layer_weights import Layer, WeightLayout
from trueward.sampling.linear_kernels import LinearKernel


class FastDecoder:
    """Decodes with a model's weights, as they are when it's made."""

    refills = True

    @staticmethod
    def covers(model: Any) -> bool:
        """Whether the model is one that this class computes exactly; not one in four bits, which would become plain numbers."""
        return not nf4.is_quantized(model) and proof.holds("decoder", model, _fits, _beside_transformers)

    def __init__(self, model: Any, quantize: str = "none") -> None:
        body, specs = model.base_model, spec.layers(model)
        assert specs is not None, "covers() comes first"
        self.specs, one = specs, specs[0]
        self.quantize, self.is_low = quantize, precision.is_low(model)
        self.heads, self.kv_heads, self.size, self.cap = one.heads, one.kv_heads, one.size, one.cap
        self.window = next((own.window for own in specs if own.window is not None), None)
        self.epsilon = model.config.rms_norm_eps
        self.scale = one.scale if self.is_low else 1.0  # else it is in the queries' product
        self.logit_cap = spec.logit_cap(model)
        self.embedding, self.factor = body.embed_tokens.weight.detach(), getattr(body.embed_tokens, "embed_scale", None)
        self.dtype = precision.LOW if self.is_low else self.embedding.dtype
        if self.factor is None:  # where it is scaled the learner doesn't round it
            self.embedding = self.embedding.to(self.dtype)
        mlp = body.layers[0].mlp
        self.rotary, self.activation = body.rotary_emb, mlp.act_fn if hasattr(mlp, "act_fn") else mlp.activation_fn
        self.rounds_first = not spec.is_centred(body.norm)
        kinds = dict.fromkeys(own.rotary for own in specs if own.rotary is not None)
        turned: dict[str | None, int] = {kind: 2 * self._turns(kind, 1).shape[1] for kind in kinds}
        weights = WeightLayout(quantize, self.is_low)
        self.layers = [
            weights.layer(layer, own, turned.get(own.rotary, 0)) for layer, own in zip(body.layers, specs, strict=True)
        ]
        self.head, self.norm = weights.after(body.norm, model.lm_head.weight, is_head=True)
        self.used = 0

    def start(self, rows: int, width: int) -> None:
        """As `Decoder`: allocates the cache."""
        device = self.embedding.device
        shape = (len(self.layers), rows, self.kv_heads, width, self.size)
        self.keys = torch.zeros(shape, device=device, dtype=self.dtype)
        self.values = torch.zeros(shape, device=device, dtype=self.dtype)
        kinds = dict.fromkeys(own.rotary for own in self.specs if own.rotary is not None)
        self.turns: dict[str | None, Tensor] = {kind: self._turns(kind, width) for kind in kinds}
        self.columns = torch.arange(width, device=device)
        self.kv = torch.arange(self.kv_heads, device=device)
        self.used = 0

    def _turns(self, kind: str, width: int) -> Tensor:
        """cos + i·sin of each position's angles [width, turned / 2], by the model's own rotary embedding."""
        like = self.embedding.new_empty(0, dtype=torch.float32 if self.is_low else self.dtype)
        positions = torch.arange(width, device=self.embedding.device)[None]
        cos, sin = self.rotary(like, positions, *([kind] if kind else []))
        return torch.complex(cos[0], sin[0])[:, : cos.shape[-1] // 2]  # both halves are the same

    def prefill(self, at: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """As `Decoder`: each different prompt is read once."""
        marked = torch.cat([ids, lengths[:, None]], dim=1)  # padding is no token's own: the length tells
        once, of = torch.unique(marked, dim=0, return_inverse=True)
        self.used = max(self.used, int(at.max()) + 1)
        at, of = transfers.moved_together([at, of], self.embedding.device)
        last = self._read(at, once[:, :-1], once[:, -1], of)
        return self._logits(last)[of]

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
        turns = {kind: every[columns][:, None] for kind, every in self.turns.items()}
        masks = None, self._cut(width)
        x = self._embedded(read)
        for i, (layer, own) in enumerate(zip(self.layers, self.specs, strict=True)):
            qkv = layer.qkv(self._normal(x, layer.before)).to(x.dtype).view(len(x), heads + 2 * kv, self.size)
            turned = self._turned(layer, qkv[:, : heads + kv], turns.get(own.rotary))
            qkv = torch.cat([turned, qkv[:, heads + kv :]], dim=1).to(self.dtype)
            if not full:
                qkv = qkv.new_zeros(count * width, *qkv.shape[1:]).index_copy_(0, real, qkv)
            q, k, v = qkv.view(count, width, -1, self.size).transpose(1, 2).split([heads, kv, kv], dim=1)
            self.keys[i][at, :, :width], self.values[i][at, :, :width] = k[of], v[of]
            mixed = attend(q, k, v, masks[own.window is not None], self.scale, self.cap)
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
        turns = {kind: every[positions][:, None] for kind, every in self.turns.items()}
        rows = torch.arange(count, device=ids.device)[:, None] * kv + self.kv
        at = (rows * self.keys.shape[3] + positions[:, None]).view(-1)  # of a cache [rows · kv · width, d]
        later, unseen = (self.columns[:width] > positions[:, None])[:, None], []
        for earlier in (None, self.window):
            if earlier is not None and width > earlier:
                later = later | (self.columns[:width] <= positions[:, None] - earlier)[:, None]
            empty = torch.zeros(count, 1, width, dtype=self.dtype, device=x.device)
            unseen.append(empty.masked_fill_(later, -math.inf))
        for layer, own, keys, values in zip(self.layers, self.specs, self.keys, self.values, strict=True):
            mask = unseen[own.window is not None]
            qkv = layer.qkv(self._normal(x, layer.before)).to(x.dtype).view(count, heads + 2 * kv, size)
            turned = self._turned(layer, qkv[:, : heads + kv], turns.get(own.rotary)).to(keys.dtype)
            keys.view(-1, size).index_copy_(0, at, turned[:, heads:].reshape(-1, size))
            values.view(-1, size).index_copy_(0, at, qkv[:, heads + kv :].reshape(-1, size).to(keys.dtype))
            # The queries of a group stand beside each other as the rows of one product with the group's keys.
            q = turned[:, :heads].reshape(count * kv, heads // kv, size)
            if self.is_low:  # as the learner's attention: weights in float32
                k, v = keys[:count, :, :width], values[:count, :, :width]
                mixed = attend(q.view(count, kv, -1, size), k, v, mask[:, None], self.scale, self.cap)
                x = self._finish(layer, x, mixed.reshape(count, heads * size))
                continue
            scores = torch.bmm(q, keys[:count, :, :width].flatten(0, 1).transpose(1, 2))
            weights = capped(scores.view(count, heads, width), self.cap).add_(mask).softmax(-1)
            mixed = torch.bmm(weights.view(q.shape[0], -1, width), values[:count, :, :width].flatten(0, 1))
            x = self._finish(layer, x, mixed.view(count, heads * size))
        return self._logits(x)

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
        if self.factor is not None:
            x = x * self.factor.to(x.dtype)
        return x.float() if self.is_low else x

    def _logits(self, x: Tensor) -> Tensor:
        return capped(self.head(self._normal(x, self.norm)).to(x.dtype), self.logit_cap)

    def _cut(self, width: int) -> Tensor | None:
        """The mask of a text's tokens that attend no further back than the window; None where all are within it."""
        if self.window is None or width <= self.window:
            return None
        back = torch.arange(width, device=self.embedding.device)[:, None] - torch.arange(
            width, device=self.embedding.device
        )
        unseen = torch.zeros(width, width, dtype=self.dtype, device=back.device)
        return unseen.masked_fill_((back < 0) | (back >= self.window), -math.inf)[None, None]

    def _turned(self, layer: Layer, qk: Tensor, turns: Tensor | None) -> Tensor:
        """Queries and keys [n, heads, size], normalised where the layer has norms for them, and rotated by their positions."""
        if layer.of_queries is not None and layer.of_keys is not None:
            scales = torch.cat([layer.of_queries.expand(self.heads, -1), layer.of_keys.expand(self.kv_heads, -1)])
            qk = self._normal(qk, None)
            if self.is_low:  # where transformers rounds
                qk = (
                    qk.to(precision.LOW).float() * scales
                    if self.rounds_first
                    else (qk * scales).to(precision.LOW).float()
                )
            else:
                qk = qk * scales
        return qk if turns is None else _rotate(qk, turns)

    def _normal(self, x: Tensor, weight: Tensor | None) -> Tensor:
        """x over its root mean square, times the norm's weights where they are not in the product that follows."""
        normal: Tensor = x * x.square().mean(-1, keepdim=True).add_(self.epsilon).rsqrt_()
        return normal if weight is None else normal.mul_(weight)

    def _finish(self, layer: Layer, x: Tensor, mixed: Tensor) -> Tensor:
        x = self._onto(layer.out, mixed, x, layer.after_attention)
        gate, up = layer.gate_up(self._normal(x, layer.between)).chunk(2, dim=-1)
        return self._onto(layer.down, self.activation(gate) * up, x, layer.after)

    def _onto(self, kernel: LinearKernel, inner: Tensor, x: Tensor, after: Tensor | None) -> Tensor:
        """x with what a part of the layer gives, normalised first where `after` are a norm's weights."""
        return kernel.onto(inner, x) if after is None else x + self._normal(kernel(inner).to(x.dtype), after)


def _fits(model: Any) -> bool:
    return spec.layers(model) is not None


def _beside_transformers(model: Any, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """Logits of some tokens by this decoder, prompts read and answers written; and by the model's own forward pass."""
    decoder, lengths = FastDecoder(model), tokens.prompt_lengths
    rows, width = torch.arange(len(lengths)), tokens.ids.shape[1]
    decoder.start(len(lengths), width)
    found = [decoder.prefill(rows, tokens.ids[:, : int(lengths.max())], lengths)]
    at = [lengths - 1]
    for step in range(width - int(lengths.max())):
        at.append(lengths + step)
        found.append(decoder.step(tokens.ids[rows, at[-1]], at[-1], width))
    logits = model(input_ids=tokens.ids, use_cache=False).logits
    return torch.cat(found), torch.cat([logits[rows, one] for one in at])


def _rotate(x: Tensor, turns: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) of pairs: [..., d] times cos + i·sin [..., d/2]."""
    turned = 2 * turns.shape[-1]
    if turned < x.shape[-1]:  # the features after them stay as they are
        return torch.cat([_rotate(x[..., :turned], turns), x[..., turned:]], dim=-1)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * turns).flatten(-2)
