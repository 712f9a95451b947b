"""Act 2: gradient ascent of a softmax policy over the responses on E[proxy] − β·KL(π‖π_SFT), exact.

All sums run over the five responses, so nothing is sampled and nothing is estimated. KL in nats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from trueward.lab.clicks import LabRewardModel

Vector = Sequence[float]


def proxies(model: LabRewardModel, blind: float | None, shift: float = 0.0) -> list[float]:
    """The reward of each response: r̂ if the response was ever compared, else `blind` (None: r̂ for all).

    shift: added to all of them. Only differences of scores matter, so no policy depends on it.
    """
    pairs = zip(model.scores, model.compared, strict=True)
    return [shift + (score if seen or blind is None else blind) for score, seen in pairs]


def log_softmax(logits: Vector) -> list[float]:
    """log softmax of the logits, in nats."""
    top = max(logits)
    log_z = top + math.log(sum(math.exp(x - top) for x in logits))
    return [x - log_z for x in logits]


def mean(policy: Vector, values: Vector) -> float:
    """E_π[values]."""
    return sum(p * v for p, v in zip(policy, values, strict=True))


def kl(log_policy: Vector, log_reference: Vector) -> float:
    """KL(π‖π_SFT) = Σ π (log π − log π_SFT), not below 0 by rounding."""
    pairs = zip(log_policy, log_reference, strict=True)
    return max(0.0, sum(math.exp(p) * (p - q) for p, q in pairs))


def gradient(logits: Vector, proxy: Vector, log_reference: Vector, beta: float) -> list[float]:
    """∂/∂θ_i of E[proxy] − β·KL = π_i·(proxy_i − E[proxy]) − β·π_i·(log(π_i/π_SFT,i) − KL), exact."""
    log_policy = log_softmax(logits)
    policy = [math.exp(x) for x in log_policy]
    ratio = [p - q for p, q in zip(log_policy, log_reference, strict=True)]
    expected, distance = mean(policy, proxy), mean(policy, ratio)
    return [p * (r - expected) - beta * p * (c - distance) for p, r, c in zip(policy, proxy, ratio, strict=True)]


def rate(beta: float) -> float:
    """The step size of the ascent, min(½, 1/β): a larger β makes the objective more curved."""
    return min(0.5, 1 / beta)


def objective(log_policy: Vector, proxy: Vector, log_reference: Vector, beta: float) -> float:
    """J = E[proxy] − β·KL(π‖π_SFT)."""
    policy = [math.exp(x) for x in log_policy]
    return mean(policy, proxy) - beta * kl(log_policy, log_reference)


@dataclass(frozen=True)
class LabStep:
    """The policy after a step: expected proxy and true reward, and its KL from SFT in nats."""

    step: int
    proxy: float
    true: float
    kl: float


@dataclass(frozen=True)
class LabRun:
    """A policy's path: before the first step and after each, and the log-probs at its end."""

    history: list[LabStep]
    log_policy: list[float]

    @property
    def policy(self) -> list[float]:
        """The probabilities at the end."""
        return [math.exp(x) for x in self.log_policy]


def run(proxy: Vector, truths: Vector, reference: Vector, stretches: Sequence[tuple[float, int]]) -> LabRun:
    """Gradient ascent from π_SFT: for each (β, steps) of `stretches` that many steps, continuing from the policy so far."""
    log_reference = [math.log(p) for p in reference]
    logits = list(log_reference)

    def evaluate(step: int) -> LabStep:
        log_policy = log_softmax(logits)
        policy = [math.exp(x) for x in log_policy]
        return LabStep(step, mean(policy, proxy), mean(policy, truths), kl(log_policy, log_reference))

    history = [evaluate(0)]
    for beta, steps in stretches:
        if not (math.isfinite(beta) and beta > 0):
            raise ValueError(f"beta {beta}: expected a number above 0")
        for _ in range(steps):
            slope = gradient(logits, proxy, log_reference, beta)
            logits = [x + rate(beta) * g for x, g in zip(logits, slope, strict=True)]
            history.append(evaluate(len(history)))
    return LabRun(history, log_softmax(logits))
