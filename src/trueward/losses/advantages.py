"""Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16)."""

from __future__ import annotations

import torch
from torch import Tensor

from trueward.losses.masks import masked


def gae(rewards: Tensor, values: Tensor, mask: Tensor, discount: float, lam: float) -> tuple[Tensor, Tensor]:
    """Advantages and returns of each token in the mask; 0 outside.

    A_t = Σ_k (γλ)^k δ_{t+k}, δ_t = r_t + γ V_{t+1} − V_t, with V = 0 after the last token; return_t = A_t + V_t.

    rewards, values, mask: [B, T]; values[b, t] is that of the state in which token t was chosen. The mask of a row is
    one run of True.
    """
    rewards, values = masked(rewards, mask), masked(values, mask)
    advantages = torch.zeros_like(rewards)
    ahead = torch.zeros_like(rewards[:, 0])
    next_value = torch.zeros_like(ahead)
    for t in range(rewards.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + discount * next_value - values[:, t]
        ahead = torch.where(mask[:, t], delta + discount * lam * ahead, 0.0)
        next_value = values[:, t]
        advantages[:, t] = ahead
    return advantages, masked(advantages + values, mask)
