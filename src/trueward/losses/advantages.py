"""Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16)."""

from __future__ import annotations

import torch
from torch import Tensor

from trueward.losses.masks import masked
from trueward.losses.shapes import require


def gae(rewards: Tensor, values: Tensor, mask: Tensor, discount: float, lam: float | Tensor) -> tuple[Tensor, Tensor]:
    """Advantages and returns of each token in the mask; 0 outside.

    A_t = Σ_k (γλ)^k δ_{t+k}, δ_t = r_t + γ V_{t+1} − V_t, with V = 0 after the last token; return_t = A_t + V_t.

    rewards, values, mask: [B, T]; values[b, t] is that of the state in which token t was chosen. The mask of a row is
    one run of True. lam: a number for all rows, or [B].
    """
    require(rewards.shape, values, mask, rank=2)
    require(rewards.shape[:1], lam)
    rewards, values = masked(rewards, mask), masked(values, mask)
    advantages = torch.zeros_like(rewards)
    next_advantage = torch.zeros_like(rewards[:, 0])
    next_value = torch.zeros_like(next_advantage)
    for t in range(rewards.shape[1] - 1, -1, -1):
        delta = rewards[:, t] + discount * next_value - values[:, t]
        next_advantage = torch.where(mask[:, t], delta + discount * lam * next_advantage, 0.0)
        next_value = values[:, t]
        advantages[:, t] = next_advantage
    return advantages, masked(advantages + values, mask)


def adaptive_lambda(lengths: Tensor, alpha: float) -> Tensor:
    """λ = 1 − 1/(α·length) of each response, 0 where that is below 0: the longer a response, the further a reward reaches.

    lengths: [B] tokens -> [B]. TD errors reach back about α·length tokens (VAPO, Yue et al. 2025, arXiv 2504.05118).
    """
    require(lengths.shape, rank=1)
    return (1.0 - 1.0 / (alpha * lengths)).clamp(min=0.0)


def group_advantages(rewards: Tensor, baseline: str, std: str, epsilon: float = 1e-6) -> Tensor:
    """Rewards relative to their group's: [P, G] -> [P, G], for G responses to each of P prompts, G ≥ 2.

    baseline "mean": r − mean of the group (GRPO, Shao et al. 2024, arXiv 2402.03300; the mean holds the response itself,
    so the gradient is (G−1)/G of the unbiased one). baseline "others": r − mean of the others = G/(G−1)·(r − mean),
    unbiased (RLOO, Ahmadian et al. 2024, arXiv 2402.14740).

    std "none": as it is (Dr. GRPO, Liu et al. 2025, arXiv 2503.20783). "population" or "sample": divided by the group's
    SD with denominator G or G−1; a group of equal rewards has advantage 0, not NaN.
    """
    require(rewards.shape, rank=2)
    assert rewards.shape[1] >= 2, "a group has at least two responses"
    size = rewards.shape[1]
    rewards = rewards - rewards[:, :1]  # equal rewards become exactly 0, and rounding can't give them an SD
    centred = rewards - rewards.mean(1, keepdim=True)
    if baseline == "others":
        centred = centred * (size / (size - 1))
    if std == "none":
        return centred
    deviation = rewards.std(1, keepdim=True, correction=0 if std == "population" else 1)
    return centred / (deviation + epsilon)
