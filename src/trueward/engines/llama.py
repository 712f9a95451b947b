"""The fast path for Llama models: the same numbers as transformers, with q, k, v and gate, up in one product each, a
cache of fixed size, and rows that come and go."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from trueward.models.lora import weight


class LlamaDecoder:
    """Decodes with the weights of a `LlamaForCausalLM`, as they are when it's made."""

    refills = True

    @staticmethod
    def covers(model: Any) -> bool:
        """Whether the model is one that this class computes exactly."""
        scaling = getattr(model.config, "rope_parameters", None) or {}
        return model.config.model_type == "llama" and scaling.get("rope_type", "default") in (
            "default",
            "linear",
            "llama3",
        )

    def __init__(self, model: Any) -> None:
        config, body = model.config, model.model
        self.heads, self.kv_heads = config.num_attention_heads, config.num_key_value_heads
        self.size = getattr(config, "head_dim", None) or config.hidden_size // self.heads
        self.epsilon = config.rms_norm_eps
        self.embedding, self.norm, self.head = body.embed_tokens.weight, body.norm.weight, model.lm_head.weight
        self.rotary, self.activation = body.rotary_emb, body.layers[0].mlp.act_fn
        self.layers = [_fuse(layer) for layer in body.layers]
        self.used = 0

    def start(self, rows: int, width: int) -> None:
        device = self.embedding.device
        shape = (len(self.layers), rows, self.kv_heads, width, self.size)
        self.keys = torch.zeros(shape, device=device, dtype=self.embedding.dtype)
        self.values = torch.zeros(shape, device=device, dtype=self.embedding.dtype)
        # The model's own rotary embedding, so that scaled variants come out right: cos and sin for each position.
        cos, sin = self.rotary(self.keys, torch.arange(width, device=device)[None])
        self.cos, self.sin = cos[0], sin[0]
        self.at = torch.arange(width, device=device)
        self.used = 0

    def prefill(self, at: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        count, width = ids.shape
        x = F.embedding(ids, self.embedding)
        cos, sin = self.cos[None, None, :width], self.sin[None, None, :width]
        for i, layer in enumerate(self.layers):
            q, k, v = self._project(layer, x)
            q, k, v = (t.view(count, width, -1, self.size).transpose(1, 2) for t in (q, k, v))
            q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
            self.keys[i][at, :, :width], self.values[i][at, :, :width] = k, v
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=self.kv_heads != self.heads)
            x = self._finish(layer, x, mixed.transpose(1, 2).reshape(count, width, -1))
        self.used = max(self.used, int(at.max()) + 1)
        last = x[torch.arange(count, device=x.device), lengths - 1]
        return F.linear(F.rms_norm(last, last.shape[-1:], self.norm, self.epsilon), self.head)

    def step(self, ids: Tensor, positions: Tensor) -> Tensor:
        count = len(ids)
        x = F.embedding(ids, self.embedding)
        cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        row = torch.arange(count, device=ids.device)
        width = int(positions.max()) + 1
        seen = (self.at[:width] <= positions[:, None])[:, None, None]  # [n, 1, 1, width]
        for i, layer in enumerate(self.layers):
            q, k, v = self._project(layer, x)
            q = _rotate(q.view(count, self.heads, self.size), cos, sin)
            keys, values = self.keys[i], self.values[i]
            keys[row, :, positions] = _rotate(k.view(count, self.kv_heads, self.size), cos, sin)
            values[row, :, positions] = v.view(count, self.kv_heads, self.size)
            mixed = F.scaled_dot_product_attention(
                q[:, :, None],
                keys[:count, :, :width],
                values[:count, :, :width],
                attn_mask=seen,
                enable_gqa=self.kv_heads != self.heads,
            )
            x = self._finish(layer, x, mixed.reshape(count, -1))
        return F.linear(F.rms_norm(x, x.shape[-1:], self.norm, self.epsilon), self.head)

    def keep(self, rows: Tensor) -> None:
        if len(rows) == self.used:
            return
        moved = rows != torch.arange(len(rows), device=rows.device)
        to, source = moved.nonzero().squeeze(1), rows[moved]
        self.keys[:, to], self.values[:, to] = self.keys[:, source], self.values[:, source]
        self.used = len(rows)

    def _project(self, layer: dict[str, Any], x: Tensor) -> tuple[Tensor, ...]:
        normal = F.rms_norm(x, x.shape[-1:], layer["input_norm"], self.epsilon)
        sizes = [self.heads * self.size, self.kv_heads * self.size, self.kv_heads * self.size]
        return torch.split(F.linear(normal, layer["qkv"], layer["qkv_bias"]), sizes, dim=-1)

    def _finish(self, layer: dict[str, Any], x: Tensor, mixed: Tensor) -> Tensor:
        x = x + F.linear(mixed, layer["out"], layer["out_bias"])
        normal = F.rms_norm(x, x.shape[-1:], layer["post_norm"], self.epsilon)
        gate, up = F.linear(normal, layer["gate_up"], layer["gate_up_bias"]).chunk(2, dim=-1)
        out: Tensor = x + F.linear(self.activation(gate) * up, layer["down"], layer["down_bias"])
        return out


def _fuse(layer: Any) -> dict[str, Any]:
    """One layer's weights, the products that share an input joined, an adapter added in."""
    attention, mlp = layer.self_attn, layer.mlp

    def joined(*modules: Any) -> tuple[Tensor, Tensor | None]:
        bias = torch.cat([m.bias for m in modules]) if modules[0].bias is not None else None
        return torch.cat([weight(m) for m in modules]), bias

    qkv, qkv_bias = joined(attention.q_proj, attention.k_proj, attention.v_proj)
    gate_up, gate_up_bias = joined(mlp.gate_proj, mlp.up_proj)
    return {
        "input_norm": layer.input_layernorm.weight,
        "post_norm": layer.post_attention_layernorm.weight,
        "qkv": qkv,
        "qkv_bias": qkv_bias,
        "out": weight(attention.o_proj),
        "out_bias": attention.o_proj.bias,
        "gate_up": gate_up,
        "gate_up_bias": gate_up_bias,
        "down": weight(mlp.down_proj),
        "down_bias": mlp.down_proj.bias,
    }


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021), halves as in Llama's weights."""
    half = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], dim=-1) * sin
