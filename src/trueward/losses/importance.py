"""Rollouts sampled from another policy than the one that learns: weights that correct for it, and measures of the mismatch.

Truncated importance weights: decoupled PPO (Hilton et al. 2022, arXiv 2110.00641) and Yao et al. 2025, "Your efficient RL
framework secretly brings you off-policy RL training".
"""

from __future__ import annotations

import math

from torch import Tensor

from trueward.losses import kl
from trueward.losses.masks import masked, masked_mean
from trueward.losses.shapes import require


def importance_weights(logprobs: Tensor, sampler_logprobs: Tensor, mask: Tensor, cap: float = math.inf) -> Tensor:
    """min(π/π_sampler, cap) of each token, 0 outside the mask, without gradient.

    logprobs: the learner's. All three of any one shape, log-probs in nats. E_sampler[w·f] = E_π[f] at each position while
    nothing is truncated; the distribution of the states stays the sampler's.
    """
    require(logprobs.shape, sampler_logprobs, mask)
    ratio = (masked(logprobs, mask) - masked(sampler_logprobs, mask)).exp().detach()
    return masked(ratio.clamp(max=cap), mask)


def deviation(logprobs: Tensor, sampler_logprobs: Tensor, mask: Tensor, count: int) -> dict[str, Tensor]:
    """|log π/π_sampler| by token in nats: its mean, and the 99.9 % quantile, the k-th largest of `count` tokens with
    k = ⌈count/1000⌉: scalars. All three tensors of any one shape; count: True entries of the mask, which the host knows.
    """
    require(logprobs.shape, sampler_logprobs, mask)
    apart = (masked(logprobs.detach(), mask) - masked(sampler_logprobs, mask)).abs().flatten()
    if not count:
        return {"importance/deviation": apart.sum(), "importance/deviation_999": apart.sum()}
    largest = apart.topk(math.ceil(count / 1000)).values[-1]
    return {"importance/deviation": apart.sum() / count, "importance/deviation_999": largest}


def mismatch(logprobs: Tensor, sampler_logprobs: Tensor, mask: Tensor, cap: float = math.inf) -> dict[str, Tensor]:
    """How far the learner is from the sampler on a rollout: the mean weight, the share of weights truncated,
    KL(sampler ‖ learner) in nats a token (k3), and the largest |log-ratio|: scalars. All three of any one shape.
    """
    require(logprobs.shape, sampler_logprobs, mask)
    logprobs, sampler_logprobs = masked(logprobs.detach(), mask), masked(sampler_logprobs, mask)
    weights = importance_weights(logprobs, sampler_logprobs, mask, cap)
    truncated = masked((logprobs - sampler_logprobs).exp() > cap, mask)
    return {
        "importance/weight": masked_mean(weights, mask),
        "importance/truncated": masked_mean(truncated, mask),
        "importance/kl": masked_mean(kl.k3(sampler_logprobs, logprobs), mask),
        "importance/log_ratio": (logprobs - sampler_logprobs).abs().max(),
    }
