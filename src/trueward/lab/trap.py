"""A common error: a formula for the gradient of the KL anchor that looks right and is wrong. Never used to train."""

from __future__ import annotations

import math

from trueward.lab.policy import Vector, log_softmax, mean


def anchor_slope(logits: Vector, log_reference: Vector, beta: float) -> list[float]:
    """∂/∂θ_i of −β·KL = −β·π_i·(log(π_i/π_SFT,i) − KL), exact."""
    log_policy = log_softmax(logits)
    ratio = [p - q for p, q in zip(log_policy, log_reference, strict=True)]
    policy = [math.exp(x) for x in log_policy]
    distance = mean(policy, ratio)
    return [-beta * p * (c - distance) for p, c in zip(policy, ratio, strict=True)]


def short_form(logits: Vector, log_reference: Vector, beta: float) -> list[float]:
    """−β·(log(π_i/π_SFT,i) + 1)·π_i·(1 − π_i): it ignores that θ_i changes the other probabilities too.

    At π = π_SFT, where the KL is smallest and its gradient 0, it pushes every response down.
    """
    log_policy = log_softmax(logits)
    return [
        -beta * (p - q + 1) * math.exp(p) * (1 - math.exp(p)) for p, q in zip(log_policy, log_reference, strict=True)
    ]
