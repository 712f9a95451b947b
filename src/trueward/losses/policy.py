"""Policy-gradient losses by token, and how they are averaged.

PPO: Schulman et al. 2017, arXiv 1707.06347. Variants name their own papers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trueward.losses.masks import masked
from trueward.losses.shapes import require


def clipped_surrogate(
    logprobs: Tensor,
    sampler_logprobs: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: float,
    clip_high: float | None = None,
    dual_clip: float | None = None,
    whole_sequence: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """−min(ρ A, clip(ρ, 1−ε, 1+ε) A) by token, unreduced, 0 outside the mask (eq. 7), ρ = π/π_sampler.

    All tensors [B, T], log-probs in nats. The gradient is 0 where A > 0 and ρ > 1+ε, or A < 0 and ρ < 1−ε; at ρ = 1 it
    is −A ∇log π.

    clip_high: another ε above than below (DAPO, Yu et al. 2025, arXiv 2503.14476).
    dual_clip: c > 1, the objective of A < 0 never falls below c·A (Ye et al. 2020, arXiv 1912.09729): no gradient
    where ρ > c, however bad the token.
    whole_sequence: ρ is the geometric mean over the response's tokens (GSPO-token, Zheng et al. 2025, arXiv 2507.18071);
    its value is the sequence's, its gradient goes through each token's own log-prob.

    Returns the loss and masked diagnostics by token, [B, T]: ratio, clipped (1 where the clip binds), kl (k3 estimate of
    KL(sampler ‖ policy), in nats).
    """
    require(logprobs.shape, sampler_logprobs, advantages, mask, rank=2)
    log_ratio = masked(logprobs, mask) - masked(sampler_logprobs, mask)
    if whole_sequence:
        mean = log_ratio.detach().sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        log_ratio = masked(mean + log_ratio - log_ratio.detach(), mask)
    ratio = log_ratio.exp()
    advantages = masked(advantages, mask)
    high = clip if clip_high is None else clip_high
    unclipped, clipped = ratio * advantages, ratio.clamp(1.0 - clip, 1.0 + high) * advantages
    objective = torch.minimum(unclipped, clipped)
    if dual_clip is not None:
        objective = torch.where(advantages < 0, torch.maximum(objective, dual_clip * advantages), objective)
    return masked(-objective, mask), _diagnostics(ratio, log_ratio, objective != unclipped, mask)


def clipped_weight(
    logprobs: Tensor, sampler_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip_high: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """−sg(min(ρ, 1+ε))·A·log π by token: every token keeps its gradient (CISPO, MiniMax-M1 2025, arXiv 2506.13585).

    All tensors [B, T], log-probs in nats. Returns the loss, unreduced, and diagnostics as `clipped_surrogate` does.
    """
    require(logprobs.shape, sampler_logprobs, advantages, mask, rank=2)
    logprobs = masked(logprobs, mask)
    log_ratio = (logprobs - masked(sampler_logprobs, mask)).detach()
    ratio = log_ratio.exp()
    weight = ratio.clamp(max=1.0 + clip_high)
    loss = -weight * masked(advantages, mask) * logprobs
    return masked(loss, mask), _diagnostics(ratio, log_ratio, weight < ratio, mask)


def ratio_figures(logprobs: Tensor, sampler_logprobs: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """ratio π/π_sampler, kl (k3 estimate of KL(sampler ‖ policy), nats) and clipped (0) by token, [B, T], without gradient."""
    require(logprobs.shape, sampler_logprobs, mask, rank=2)
    log_ratio = (masked(logprobs, mask) - masked(sampler_logprobs, mask)).detach()
    return _diagnostics(log_ratio.exp(), log_ratio, torch.zeros_like(mask), mask)


def _diagnostics(ratio: Tensor, log_ratio: Tensor, clipped: Tensor, mask: Tensor) -> dict[str, Tensor]:
    ratio, log_ratio = ratio.detach(), log_ratio.detach()
    return {
        "ratio": masked(ratio, mask),
        "clipped": masked(clipped.to(ratio.dtype), mask),
        "kl": masked(ratio - 1.0 - log_ratio, mask),
    }


def clipped_value(
    values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float
) -> tuple[Tensor, Tensor]:
    """½·max((V − R)², (clip(V, V_old ± ε) − R)²) by token, unreduced, 0 outside the mask (OpenAI baselines, PPO2).

    All tensors [B, T]. Returns the loss and, for each token, 1 where the clip binds, else 0.
    """
    require(values.shape, old_values, returns, mask, rank=2)
    values, old_values, returns = masked(values, mask), masked(old_values, mask), masked(returns, mask)
    clipped_values = old_values + (values - old_values).clamp(-clip, clip)
    unclipped, clipped = (values - returns) ** 2, (clipped_values - returns) ** 2
    return masked(0.5 * torch.maximum(unclipped, clipped), mask), masked((clipped > unclipped).to(values.dtype), mask)


def token_weights(mask: Tensor, reducer: str, tokens: float, sequences: int, longest: int) -> Tensor:
    """The weight of each token in a step's loss: mask [B, T] -> [B, T]. Over a step they sum to 1 ("constant": at most 1).

    "token": 1/tokens of the step (DAPO). "sequence": 1/(its response's length · sequences) (GRPO). "constant":
    1/(longest · sequences), longest the most tokens a response can have (Dr. GRPO: no pull towards short right answers
    and long wrong ones). tokens, sequences: counts of the whole optimiser step, so micro-batches add up.
    """
    require(mask.shape, rank=2)
    if reducer == "token":
        each = torch.full(mask.shape, 1.0 / tokens, device=mask.device)
    elif reducer == "sequence":
        each = (1.0 / (mask.sum(1, keepdim=True).clamp(min=1) * sequences)).expand(mask.shape)
    else:
        assert reducer == "constant", reducer
        each = torch.full(mask.shape, 1.0 / (longest * sequences), device=mask.device)
    return masked(each, mask)
