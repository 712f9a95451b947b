"""Policy-gradient losses: proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347)."""

from __future__ import annotations

import torch
from torch import Tensor

from trueward.losses.masks import masked


def clipped_surrogate(
    logprobs: Tensor, behaviour: Tensor, advantages: Tensor, mask: Tensor, clip: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """−min(ρ A, clip(ρ, 1−ε, 1+ε) A) by token, unreduced, 0 outside the mask (eq. 7), ρ = π/π_behaviour.

    All [B, T]. The gradient is 0 where A > 0 and ρ > 1+ε, or A < 0 and ρ < 1−ε; at ρ = 1 it is −A ∇log π.
    Returns the loss and masked diagnostics by token: ratio, clipped (whether the clip binds), kl (k3 to the behaviour).
    """
    log_ratio = masked(logprobs, mask) - masked(behaviour, mask)
    ratio = log_ratio.exp()
    advantages = masked(advantages, mask)
    plain, held = ratio * advantages, ratio.clamp(1.0 - clip, 1.0 + clip) * advantages
    diagnostics = {
        "ratio": masked(ratio, mask).detach(),
        "clipped": masked((held < plain).to(ratio.dtype), mask),
        "kl": masked(ratio - 1.0 - log_ratio, mask).detach(),
    }
    return masked(-torch.minimum(plain, held), mask), diagnostics


def clipped_value(values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """½·max((V − R)², (clip(V, V_old ± ε) − R)²) by token, unreduced, 0 outside the mask (OpenAI baselines, PPO2).

    All [B, T]. Returns the loss and whether the clip binds.
    """
    values, old, returns = masked(values, mask), masked(old, mask), masked(returns, mask)
    held = old + (values - old).clamp(-clip, clip)
    plain, bound = (values - returns) ** 2, (held - returns) ** 2
    return masked(0.5 * torch.maximum(plain, bound), mask), masked((bound > plain).to(values.dtype), mask)
