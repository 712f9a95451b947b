"""PPO learns small tasks that a program scores, in seconds, from random weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.algorithms import ppo
from trueward.config import Policy
from trueward.engines.sampler import Sampling, sample
from trueward.models.loading import Network
from trueward.records import Completion, Prompt, Verdict
from trueward.scorers.scorer import Scale

MakeNetwork = Callable[..., Network]
Score = Callable[[Completion], float]
WORDS = ["red", "blue", "green", "dog", "cat", "bird"]
PROMPTS = [Prompt(text=word) for word in WORDS]
SAMPLING = Sampling(max_new_tokens=6, rows=64)


def count(completion: Completion) -> int:
    return len(completion.response.split())


def ends_at_once(completion: Completion) -> float:
    return 1.0 if completion.finished and not completion.response else 0.0


def says_green(completion: Completion) -> float:
    return 1.0 if " green" in completion.response else 0.0


def three_tokens(completion: Completion) -> float:
    return -abs(completion.response.count(" ") - 3) / 3


def noise(seed: int) -> Score:
    """A number that has nothing to do with the answer."""
    draw = random.Random(seed)
    return lambda completion: draw.uniform(-1, 1)


def mean(score: Score, network: Network, answers: int = 120) -> Tensor:
    prompts = PROMPTS * (answers // len(PROMPTS))
    rollout = sample(network, prompts, SAMPLING, torch.Generator().manual_seed(77))
    return torch.tensor([score(c) for c in rollout.completions])


@pytest.fixture
def learn(make_policy: MakeNetwork, make_reward: MakeNetwork) -> Callable[..., tuple[Network, list[dict[str, float]]]]:
    def run(score: Score, seed: int, **changes: Any) -> tuple[Network, list[dict[str, float]]]:
        shape = {"words": WORDS, "hidden_size": 32, "intermediate_size": 48, "initializer_range": 0.1}
        policy, reference = make_policy(seed=seed, **shape), make_policy(seed=seed, **shape)
        value = make_reward(seed=seed, **shape)
        torch.nn.init.zeros_(value.model.score.weight)
        critic = ppo.Critic(value, Scale(0.0, 1.0))
        settings = {
            "steps": 30,
            "batch_size": 64,
            "minibatches": 2,
            "kl_coef": 0.0,
            "learning_rate": 3e-3,
            "missing_eos_penalty": 0.0,
        }
        config = Policy(**{**settings, **changes})

        def judge(completions: Sequence[Completion]) -> list[Verdict]:
            return [Verdict(score=score(c)) for c in completions]

        loop = ppo.train(
            config,
            policy=policy,
            reference=reference,
            critic=critic,
            sample=lambda network, prompts, generator: sample(network, prompts * 11, SAMPLING, generator),
            scorer=judge,
            prompts=PROMPTS,
            temperature=1.0,
            state=ppo.start(config, policy, critic),
            seed=seed,
            micro_batch_tokens=10_000,
        )
        return policy, [step.metrics for step in loop]

    return run


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("score", "before", "after"), [(ends_at_once, 0.4, 0.95), (says_green, 0.7, 0.95), (three_tokens, -0.3, -0.05)]
)
def test_ppo_learns(learn: Any, make_policy: MakeNetwork, seed: int, score: Score, before: float, after: float) -> None:
    policy, steps = learn(score, seed)
    assert steps[0]["objective/scores"] < before
    assert mean(score, policy).mean() > after
    assert steps[-1]["objective/kl"] > 0.5


def test_ppo_held_by_a_strong_anchor_stays(learn: Any) -> None:
    free = learn(says_green, 0)[1][-1]["objective/kl"]
    held = learn(says_green, 0, kl_coef=5.0)[1][-1]["objective/kl"]
    assert held < free / 10


def test_a_reward_that_says_nothing_teaches_nothing(learn: Any) -> None:
    changes = []
    for seed in range(6):
        policy, steps = learn(noise(seed), seed, kl_coef=0.3, steps=20)
        untouched, _ = learn(noise(seed), seed, steps=1, learning_rate=1e-12)
        changes.append((mean(says_green, policy, 600) - mean(says_green, untouched, 600)).mean())
        assert steps[-1]["objective/kl"] < 3
    spread = torch.stack(changes)
    assert spread.mean().abs() <= 3 * spread.std() / 6**0.5


def test_one_seed_gives_the_same_weights_twice_and_two_seeds_do_not(learn: Any, make_policy: MakeNetwork) -> None:
    def weights(seed: int) -> Tensor:
        policy, _ = learn(says_green, seed, steps=4)
        return torch.cat([p.detach().flatten() for p in policy.model.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
