"""Log-probabilities of tokens. Temperature is applied to logits, never to log-probs."""

from __future__ import annotations

import torch
from torch import Tensor

from trueward.losses.shapes import require


def token_logprobs(logits: Tensor, ids: Tensor, temperature: float = 1.0) -> Tensor:
    """log π(token): logits [..., V], ids [...] -> [...], in nats."""
    require(logits.shape[:-1], ids)
    scaled = at_temperature(logits, temperature)
    chosen = scaled.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    return chosen - scaled.logsumexp(-1)


def at_temperature(logits: Tensor, temperature: float) -> Tensor:
    """logits / temperature, at least in float32: [..., V] -> [..., V]."""
    assert logits.ndim > 0, "expected logits [..., V], got a scalar"
    wide = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    return wide if temperature == 1.0 else wide / temperature


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """−Σ π log π of each distribution: logits [..., V] -> [...], in nats."""
    logp = torch.log_softmax(at_temperature(logits, temperature), dim=-1)
    # A token of probability 0 adds 0 times a finite number.
    return -(logp.exp() * logp.clamp(min=torch.finfo(logp.dtype).min)).sum(-1)


def masked_infinite(logp: Tensor) -> Tensor:
    """0 in place of −inf: a token of probability 0 adds nothing to an expectation. Any shape."""
    return torch.where(torch.isinf(logp), torch.zeros_like(logp), logp)
