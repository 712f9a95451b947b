"""Attention through torch's own kernels, which are told apart and counted for `trueward profile`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trueward.tracking import beats

KERNELS = {0: "maths", 1: "flash", 2: "efficient", 3: "cudnn"}  # by torch's numbers; maths holds all weights in memory


def attend(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, scale: float, cap: float | None = None) -> Tensor:
    """softmax(q·kᵀ·scale + mask)·v: q [n, heads, t, size], k and v [n, kv heads, keys, size]. Without a mask it is causal.

    cap: the logits q·kᵀ·scale are capped at it (`capped`). None of torch's kernels can do that, so all weights are in memory.

    With fewer heads of keys than of queries CUDA's kernel for float32, or with a mask, would be the one that holds all weights
    in memory; so keys and values are repeated there.
    """
    if cap is not None:
        beats.attention(lambda: "capped")
        return _written_out(q, k, v, attn_mask, scale, cap)
    grouped = q.shape[1] != k.shape[1]
    if grouped and q.device.type == "cuda" and (attn_mask is not None or q.dtype == torch.float32):
        times, grouped = q.shape[1] // k.shape[1], False
        k, v = k.repeat_interleave(times, dim=1), v.repeat_interleave(times, dim=1)
    causal = attn_mask is None

    def kernel() -> str:
        number = torch._fused_sdp_choice(q, k, v, attn_mask, 0.0, causal, scale=scale, enable_gqa=grouped)
        return KERNELS.get(int(number), str(number))

    beats.attention(kernel)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=attn_mask, is_causal=causal, scale=scale, enable_gqa=grouped
    )


def capped(x: Tensor, cap: float | None) -> Tensor:
    """cap·tanh(x / cap), between −cap and cap (Bello et al. 2016, arXiv 1611.09940); x itself without one."""
    return x if cap is None else (x / cap).tanh() * cap


def _written_out(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, scale: float, cap: float) -> Tensor:
    """`attend` with capped logits; the softmax is in float32."""
    count, heads, length, size = q.shape
    groups, keys = k.shape[1], k.shape[2]
    if attn_mask is None:
        attends = torch.ones(length, keys, dtype=torch.bool, device=q.device).tril()
        attn_mask = torch.zeros((), dtype=q.dtype, device=q.device).masked_fill(~attends, -torch.inf)[None, None]
    # The queries of a group stand below each other as the rows of one product with the group's keys.
    rows = q.reshape(count, groups, -1, size)
    logits = capped((rows @ k.transpose(2, 3)).float() * scale, cap).view(count, heads, length, keys)
    weights = (logits + attn_mask).softmax(-1).to(v.dtype)
    return (weights.view(count, groups, -1, keys) @ v).view(count, heads, length, -1)
