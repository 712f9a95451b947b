"""The limit of the ascent: the closed form of the KL-anchored optimum, and the true reward along it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from trueward.lab.policy import Vector, kl, log_softmax, mean

BETAS = [10 ** (-2 + 4 * i / 19) for i in range(20)]  # .01 to 100, evenly in the logarithm


def tilted(proxy: Vector, reference: Vector, beta: float) -> list[float]:
    """log π of the optimum: π ∝ π_SFT·e^(proxy/β) (Ziegler et al. 2019, eq. 3)."""
    return log_softmax([math.log(p) + r / beta for p, r in zip(reference, proxy, strict=True)])


def best_objective(proxy: Vector, reference: Vector, beta: float) -> float:
    """The value of the optimum: max_π E[proxy] − β·KL = β·log Σ π_SFT·e^(proxy/β)."""
    top = max(proxy)
    return top + beta * math.log(sum(p * math.exp((r - top) / beta) for p, r in zip(reference, proxy, strict=True)))


def covariance(policy: Vector, truths: Vector, proxy: Vector) -> float:
    """Cov_π(r*, r̂): the derivative of the true reward at the optimum, dE[r*]/d(1/β). Below 0, more proxy is less truth."""
    true, expected = mean(policy, truths), mean(policy, proxy)
    return sum(p * (t - true) * (r - expected) for p, t, r in zip(policy, truths, proxy, strict=True))


@dataclass(frozen=True)
class Optimum:
    """The closed form at one β: expected proxy and true reward, and the KL in nats."""

    beta: float
    proxy: float
    true: float
    kl: float


def optimum(proxy: Vector, truths: Vector, reference: Vector, beta: float) -> Optimum:
    """The closed form at this β."""
    log_policy = tilted(proxy, reference, beta)
    policy = [math.exp(x) for x in log_policy]
    distance = kl(log_policy, [math.log(p) for p in reference])
    return Optimum(beta, mean(policy, proxy), mean(policy, truths), distance)


def sweep(proxy: Vector, truths: Vector, reference: Vector) -> list[Optimum]:
    """The closed form at each of `BETAS`."""
    return [optimum(proxy, truths, reference, beta) for beta in BETAS]


def best(points: list[Optimum]) -> Optimum:
    """The point of the highest true reward; of equal ones (up to rounding) that of the largest β."""
    highest = max(point.true for point in points)
    return max((point for point in points if point.true >= highest - 1e-12), key=lambda point: point.beta)
