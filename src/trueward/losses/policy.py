"""Policy-gradient losses by token, and how they are averaged.

PPO: Schulman et al. 2017, arXiv 1707.06347. Variants name their own papers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trueward.losses.masks import masked


def clipped_surrogate(
    logprobs: Tensor,
    behaviour: Tensor,
    advantages: Tensor,
    mask: Tensor,
    clip: float,
    clip_high: float | None = None,
    dual_clip: float | None = None,
    whole_sequence: bool = False,
) -> tuple[Tensor, dict[str, Tensor]]:
    """−min(ρ A, clip(ρ, 1−ε, 1+ε) A) by token, unreduced, 0 outside the mask (eq. 7), ρ = π/π_behaviour.

    All [B, T]. The gradient is 0 where A > 0 and ρ > 1+ε, or A < 0 and ρ < 1−ε; at ρ = 1 it is −A ∇log π.

    clip_high: another ε above than below (DAPO, Yu et al. 2025, arXiv 2503.14476).
    dual_clip: c > 1, the objective of A < 0 never falls below c·A (Ye et al. 2020, arXiv 1912.09729): no gradient
    where ρ > c, however bad the token.
    whole_sequence: ρ is the geometric mean over the answer's tokens (GSPO-token, Zheng et al. 2025, arXiv 2507.18071);
    its value is the sequence's, its gradient goes through each token's own log-prob.

    Returns the loss and masked diagnostics by token: ratio, clipped (whether the clip binds), kl (k3 to the behaviour).
    """
    log_ratio = masked(logprobs, mask) - masked(behaviour, mask)
    if whole_sequence:
        mean = log_ratio.detach().sum(1, keepdim=True) / mask.sum(1, keepdim=True).clamp(min=1)
        log_ratio = masked(mean + log_ratio - log_ratio.detach(), mask)
    ratio = log_ratio.exp()
    advantages = masked(advantages, mask)
    high = clip if clip_high is None else clip_high
    plain, held = ratio * advantages, ratio.clamp(1.0 - clip, 1.0 + high) * advantages
    objective = torch.minimum(plain, held)
    if dual_clip is not None:
        objective = torch.where(advantages < 0, torch.maximum(objective, dual_clip * advantages), objective)
    return masked(-objective, mask), _diagnostics(ratio, log_ratio, objective != plain, mask)


def clipped_weight(
    logprobs: Tensor, behaviour: Tensor, advantages: Tensor, mask: Tensor, clip_high: float
) -> tuple[Tensor, dict[str, Tensor]]:
    """−sg(min(ρ, 1+ε))·A·log π by token: every token keeps its gradient (CISPO, MiniMax-M1 2025, arXiv 2506.13585).

    All [B, T]; diagnostics as in `clipped_surrogate`.
    """
    logprobs = masked(logprobs, mask)
    log_ratio = (logprobs - masked(behaviour, mask)).detach()
    ratio = log_ratio.exp()
    weight = ratio.clamp(max=1.0 + clip_high)
    loss = -weight * masked(advantages, mask) * logprobs
    return masked(loss, mask), _diagnostics(ratio, log_ratio, weight < ratio, mask)


def _diagnostics(ratio: Tensor, log_ratio: Tensor, clipped: Tensor, mask: Tensor) -> dict[str, Tensor]:
    ratio, log_ratio = ratio.detach(), log_ratio.detach()
    return {
        "ratio": masked(ratio, mask),
        "clipped": masked(clipped.to(ratio.dtype), mask),
        "kl": masked(ratio - 1.0 - log_ratio, mask),
    }


def clipped_value(values: Tensor, old: Tensor, returns: Tensor, mask: Tensor, clip: float) -> tuple[Tensor, Tensor]:
    """½·max((V − R)², (clip(V, V_old ± ε) − R)²) by token, unreduced, 0 outside the mask (OpenAI baselines, PPO2).

    All [B, T]. Returns the loss and whether the clip binds.
    """
    values, old, returns = masked(values, mask), masked(old, mask), masked(returns, mask)
    held = old + (values - old).clamp(-clip, clip)
    plain, bound = (values - returns) ** 2, (held - returns) ** 2
    return masked(0.5 * torch.maximum(plain, bound), mask), masked((bound > plain).to(values.dtype), mask)


def token_weights(mask: Tensor, reducer: str, tokens: float, sequences: int, longest: int) -> Tensor:
    """What each token counts in a step's loss: [B, T]. Their sum over a whole step is 1 (at most 1 for "constant").

    "token": 1/tokens of the step (DAPO). "sequence": 1/(its answer's length · sequences) (GRPO). "constant":
    1/(longest · sequences), longest the most tokens an answer can have (Dr. GRPO: no pull towards short right answers
    and long wrong ones). tokens, sequences: counts of the whole optimiser step, so micro-batches add up.
    """
    if reducer == "token":
        each = torch.full(mask.shape, 1.0 / tokens, device=mask.device)
    elif reducer == "sequence":
        each = (1.0 / (mask.sum(1, keepdim=True).clamp(min=1) * sequences)).expand(mask.shape)
    else:
        assert reducer == "constant"
        each = torch.full(mask.shape, 1.0 / (longest * sequences), device=mask.device)
    return masked(each, mask)
