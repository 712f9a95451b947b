"""KL divergence of a policy from its reference, by token, in nats (Schulman 2020, "Approximating KL divergence").

With x ~ policy and ρ = reference/policy: k1 = −log ρ, k2 = ½(log ρ)², k3 = ρ − 1 − log ρ. k1 and k3 have mean KL.
"""

from __future__ import annotations

import torch
from torch import Tensor

from trueward.losses.logprobs import at_temperature, masked_infinite
from trueward.losses.masks import masked


def k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """log π − log π_ref of sampled tokens, any shape. Unbiased; put into the reward its gradient is that of the KL."""
    return logprobs - reference


def k2(logprobs: Tensor, reference: Tensor) -> Tensor:
    """½(log π − log π_ref)². Biased in value; differentiated in the loss, its gradient is that of the per-token KL."""
    return 0.5 * (logprobs - reference) ** 2


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """π_ref/π − 1 − log(π_ref/π) ≥ 0. Unbiased in value; its gradient is that of another divergence."""
    return torch.expm1(reference - logprobs) - (reference - logprobs)


def exact(logits: Tensor, reference_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Σ_a π(a)(log π(a) − log π_ref(a)) at each position: logits [..., V] -> [...].

    Infinite where the policy does what the reference never does. Summed over a sampled response it estimates the
    sequence KL without the noise of the sampled token (Rao–Blackwell).
    """
    logp = torch.log_softmax(at_temperature(logits, temperature), dim=-1)
    logq = torch.log_softmax(at_temperature(reference_logits, temperature), dim=-1)
    possible = ~torch.isinf(logp)
    return masked(logp.exp() * (masked_infinite(logp) - masked(logq, possible)), possible).sum(-1)


def token_rewards(scores: Tensor, kl: Tensor, mask: Tensor, kl_coef: float) -> Tensor:
    """−β·kl for every token, plus the score at the response's last token (InstructGPT; EXACT: Σ_t r_t = score − β Σ_t kl_t).

    scores [B], kl [B, T], mask [B, T] -> [B, T]. A response has at least one token.
    """
    rewards = masked(-kl_coef * masked(kl, mask), mask)
    at = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask, at, -1).max(dim=1).values
    return rewards + torch.where(at == last[:, None], scores[:, None].to(rewards.dtype), 0.0)
