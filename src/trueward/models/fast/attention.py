"""Attention through torch's own kernels, which are told apart and counted for `trueward profile`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from trueward.tracking import beats

KERNELS = {0: "maths", 1: "flash", 2: "efficient", 3: "cudnn"}  # by torch's numbers; maths holds all weights in memory


def attend(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor | None, scale: float) -> Tensor:
    """softmax(q·kᵀ·scale + mask)·v: q [n, heads, t, size], k and v [n, kv heads, keys, size]. Without a mask it is causal.

    With fewer heads of keys than of queries CUDA's kernel for float32, or with a mask, would be the one that holds all weights
    in memory; so keys and values are repeated there.
    """
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
