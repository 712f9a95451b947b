"""Rollouts that another policy wrote than the one that learns: weights that make up for it, and by how much they differ.

Truncated importance weights: decoupled PPO (Hilton et al. 2022, arXiv 2110.00641) and Yao et al. 2025, "Your efficient RL
framework secretly brings you off-policy RL training".
"""

from __future__ import annotations

import math

from torch import Tensor

from trueward.losses import kl
from trueward.losses.masks import masked, masked_mean


def importance_weights(learner: Tensor, sampler: Tensor, mask: Tensor, cap: float = math.inf) -> Tensor:
    """min(π/π_sampler, cap) of each token, 0 outside the mask; no gradient flows through it. All [B, T].

    E_sampler[w·f] = E_π[f] at each position while nothing is truncated; the states stay those that the sampler came to.
    """
    ratio = (masked(learner, mask) - masked(sampler, mask)).exp().detach()
    return masked(ratio.clamp(max=cap), mask)


def mismatch(learner: Tensor, sampler: Tensor, mask: Tensor, cap: float = math.inf) -> dict[str, float]:
    """Figures over the tokens of a rollout: the mean weight, the share truncated, KL(sampler ‖ learner) in nats a token
    (k3), and the largest |log-ratio|. All [B, T].
    """
    learner, sampler = masked(learner.detach(), mask), masked(sampler, mask)
    weights = importance_weights(learner, sampler, mask, cap)
    truncated = masked((learner - sampler).exp() > cap, mask)
    return {
        "importance/weight": masked_mean(weights, mask).item(),
        "importance/truncated": masked_mean(truncated, mask).item(),
        "importance/kl": masked_mean(kl.k3(sampler, learner), mask).item(),
        "importance/log_ratio": (learner - sampler).abs().max().item(),
    }
