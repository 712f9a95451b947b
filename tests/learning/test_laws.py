"""Laws at large numbers: how DPO nears its optimum with more comparisons, and GRPO's fixed points with larger groups."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from trueward.losses import kl
from trueward.losses.advantages import group_advantages
from trueward.losses.preference import dpo, dpo_margin

ARMS, BETA = 4, 0.5


def reals(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


REWARD, REFERENCE = reals(ARMS, seed=1), reals(ARMS, seed=2).log_softmax(0)
TILT = (REFERENCE + REWARD / BETA).log_softmax(0)
FIRST, SECOND = torch.combinations(torch.arange(ARMS)).T


def fitted(wins: Tensor, counts: Tensor) -> Tensor:
    """The minimum of DPO's loss on counted comparisons, by Newton's method: log-probs [runs, arms]. wins: [runs, pairs]."""
    theta = TILT.expand(len(wins), ARMS).clone()
    share = wins / counts
    for _ in range(12):

        def gradient(x: Tensor) -> Tensor:
            x = x.requires_grad_()
            logp = x.log_softmax(-1)
            anchors = (REFERENCE[side].expand(len(wins), -1) for side in (FIRST, SECOND))
            margin = dpo_margin(logp[:, FIRST], logp[:, SECOND], *anchors, BETA)
            (slope,) = torch.autograd.grad((counts * dpo(margin, share)).sum(), x, create_graph=True)
            return slope

        leaf = theta.detach().clone()
        slope = gradient(leaf)
        rows = [torch.autograd.grad(slope[:, i].sum(), leaf, retain_graph=True)[0] for i in range(ARMS)]
        hessian = torch.stack(rows, 1) + torch.ones(
            ARMS, ARMS, dtype=torch.float64
        )  # a constant to all is free: fix it
        theta = (leaf - torch.linalg.solve(hessian, slope.detach())).detach()
    assert slope.abs().max() < 1e-8 * counts.sum()
    return theta.log_softmax(-1)


def test_dpo_nears_the_tilt_as_one_over_n() -> None:
    """n·KL tends to half the variance of the fitted rewards over β², from the Fisher information of Bradley–Terry."""
    chance = torch.sigmoid(REWARD[FIRST] - REWARD[SECOND])
    directions = torch.eye(ARMS, dtype=torch.float64)[FIRST] - torch.eye(ARMS, dtype=torch.float64)[SECOND]
    information = (directions.T * (chance * (1 - chance) / len(chance))) @ directions  # of one comparison, any pair
    covariance = torch.linalg.pinv(information)
    weights = TILT.exp()
    spread = torch.diag(weights) - torch.outer(weights, weights)
    limit = 0.5 * (spread * covariance).sum().item() / BETA**2

    draw = torch.Generator().manual_seed(5)
    means = {}
    for n in (600, 9_600, 153_600):
        counts = torch.full((len(chance),), n / len(chance), dtype=torch.float64)
        wins = torch.binomial(counts.expand(400, -1), chance.expand(400, -1), generator=draw)
        policy = fitted(wins, counts)
        distance = n * kl.exact(policy, TILT.expand_as(policy))
        means[n] = (distance.mean().item(), distance.std().item() / 20)
        moved = (policy.exp() - TILT.exp()).abs().mean().item() * math.sqrt(n)
        assert 0.1 < moved < 1.5  # probabilities as 1/√n
    for n in (9_600, 153_600):
        mean, error = means[n]
        assert abs(mean - limit) <= 4.5 * error
    assert means[600][0] == pytest.approx(limit, rel=0.5)


def push(size: int, chance: float) -> float:
    """GRPO's mean gradient in the logit of the right one of two arms, population SD: every group counted, without a KL."""
    total = 0.0
    for right in range(1, size):
        rewards = torch.tensor([[1.0] * right + [0.0] * (size - right)], dtype=torch.float64)
        advantages = group_advantages(rewards, "mean", "population", 0.0)[0]
        score = rewards[0] - chance  # d log π / d logit
        log_chance = math.lgamma(size + 1) - math.lgamma(right + 1) - math.lgamma(size - right + 1)
        log_chance += right * math.log(chance) + (size - right) * math.log(1 - chance)
        total += math.exp(log_chance) * (advantages * score).mean().item()
    return total


def roots(size: int, anchor: str, start: float, beta: float) -> list[float]:
    """Where the push and the anchor's pull are equal, from below: fixed points, stable and unstable in turn."""

    def net(q: float) -> float:
        odds = math.log(q / (1 - q)) - math.log(start / (1 - start))
        pull = q * (1 - q) * odds if anchor == "k2" else q - start
        force = math.sqrt(q * (1 - q)) if not size else push(size, q)
        return force - beta * pull

    grid = [i / 1000 for i in range(200, 1000)] if not size else [i / 25 for i in range(6, 24)]
    found = []
    for low, high in itertools.pairwise(grid):
        a, b = low, high
        if (net(a) > 0) != (net(b) > 0):
            for _ in range(12 if size else 30):
                middle = (a + b) / 2
                a, b = (middle, b) if (net(middle) > 0) == (net(a) > 0) else (a, middle)
            found.append((a + b) / 2)
    return found


def test_groups_without_end() -> None:
    """logit π = logit p + 1/(β√(π(1−π))): a stable and an unstable point for β = 1, none below .896."""
    assert roots(0, "k2", 0.2, 1.0) == pytest.approx([0.681, 0.935], abs=6e-4)
    assert roots(0, "k3", 0.2, 1.0)[0] == pytest.approx(0.670, abs=6e-4)
    assert len(roots(0, "k2", 0.2, 0.898)) == 2
    assert roots(0, "k2", 0.2, 0.894) == []


def test_larger_groups_come_nearer_to_that() -> None:
    found = [roots(size, "k2", 0.2, 1.0)[0] for size in (8, 24, 72)]
    assert found[0] == pytest.approx(0.625, abs=6e-4)
    assert found == sorted(found)
    assert 0.67 < found[2] < 0.681
