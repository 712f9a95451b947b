"""KL divergence of a policy from its reference, by token, in nats (Schulman 2020, "Approximating KL divergence").

With x ~ policy and ρ = reference/policy: k1 = −log ρ, k2 = ½(log ρ)², k3 = ρ − 1 − log ρ. k1 and k3 have mean KL.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trueward.losses.logprobs import at_temperature, masked_infinite
from trueward.losses.masks import masked
from trueward.losses.shapes import require


def k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """log π − log π_ref of sampled tokens, any one shape. Unbiased; put into the reward its gradient is that of the KL."""
    require(logprobs.shape, ref_logprobs)
    return logprobs - ref_logprobs


def k2(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """½(log π − log π_ref)², any one shape. Biased in value; as a loss, its gradient is that of the per-token KL."""
    require(logprobs.shape, ref_logprobs)
    return 0.5 * (logprobs - ref_logprobs) ** 2


def k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """π_ref/π − 1 − log(π_ref/π) ≥ 0, any one shape. Unbiased in value; its gradient is that of another divergence."""
    require(logprobs.shape, ref_logprobs)
    return torch.expm1(ref_logprobs - logprobs) - (ref_logprobs - logprobs)


def exact(logits: Tensor, ref_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Σ_a π(a)(log π(a) − log π_ref(a)) at each position: both logits [..., V] -> [...].

    Infinite where the policy does what the reference never does. Summed over a sampled response it estimates the
    sequence KL without the noise of the sampled token (Rao–Blackwell).
    """
    require(logits.shape, ref_logits)
    logp = torch.log_softmax(at_temperature(logits, temperature), dim=-1)
    logq = torch.log_softmax(at_temperature(ref_logits, temperature), dim=-1)
    possible = ~torch.isinf(logp)
    return masked(logp.exp() * (masked_infinite(logp) - masked(logq, possible)), possible).sum(-1)


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """−β·kl for every token, plus the score at the response's last token (InstructGPT; EXACT: Σ_t r_t = score − β Σ_t kl_t).

    scores [B], kl [B, T], mask [B, T] -> [B, T]. A response has at least one token.
    """
    require(kl.shape, mask, rank=2)
    require(kl.shape[:1], scores)
    rewards = masked(-kl_coef * masked(kl, mask), mask)
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask, positions, -1).max(dim=1).values
    return rewards + torch.where(positions == last[:, None], scores[:, None].to(rewards.dtype), 0.0)
