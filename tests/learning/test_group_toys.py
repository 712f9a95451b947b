"""GRPO and RLOO learn small tasks that a program scores, in seconds, from random weights."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from trueward.algorithms import grpo
from trueward.batches import Rollout
from trueward.config import Policy
from trueward.engines.sampler import Sampling, sample
from trueward.models.loading import Network
from trueward.records import Completion, Prompt, Verdict

MakeNetwork = Callable[..., Network]
Score = Callable[[Completion], float]
WORDS = ["red", "blue", "green", "dog", "cat", "bird"]
PROMPTS = [Prompt(text=word) for word in WORDS]


def write(network: Network, prompts: Sequence[Prompt], generator: torch.Generator) -> Rollout:
    return sample(network, prompts, Sampling(max_new_tokens=6, rows=96), generator)


def mean(score: Score, network: Network, answers: int = 300) -> float:
    rollout = write(network, PROMPTS * (answers // len(PROMPTS)), torch.Generator().manual_seed(77))
    return sum(score(c) for c in rollout.completions) / len(rollout.completions)


def says_green(completion: Completion) -> float:
    return 1.0 if " green" in completion.response else 0.0


def ends_at_once(completion: Completion) -> float:
    return 1.0 if completion.finished and not completion.response else 0.0


def noise(seed: int) -> Score:
    """A number that has nothing to do with the answer."""
    draw = random.Random(seed)
    return lambda completion: draw.uniform(-1, 1)


@pytest.fixture
def learn(make_policy: MakeNetwork) -> Callable[..., tuple[Network, Network]]:
    """The policy after training, and before."""

    def run(kind: str, score: Score, seed: int, **changes: Any) -> tuple[Network, Network]:
        shape = {"words": WORDS, "hidden_size": 32, "intermediate_size": 48, "initializer_range": 0.1}
        policy, reference = make_policy(seed=seed, **shape), make_policy(seed=seed, **shape)
        settings = {"steps": 30, "batch_size": 96, "minibatches": 2, "kl_coef": 0.0, "learning_rate": 3e-3}
        config = Policy(**{"kind": kind, **settings, "missing_eos_penalty": 0.0, **changes})
        loop = grpo.train(
            config,
            policy=policy,
            reference=reference,
            sample=write,
            scorer=lambda completions: [Verdict(score=score(c)) for c in completions],
            prompts=PROMPTS * 2,
            temperature=1.0,
            longest=6,
            state=grpo.start(config, policy),
            seed=seed,
            micro_batch_tokens=10_000,
        )
        assert len(list(loop)) == config.steps
        return policy, reference

    return run


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("score", [says_green, ends_at_once])
@pytest.mark.parametrize(
    ("kind", "group"), [("rloo", {}), ("grpo", {}), ("grpo", {"std": "population", "reducer": "sequence"})]
)
def test_they_learn(learn: Any, kind: str, group: dict[str, Any], score: Score, seed: int) -> None:
    policy, before = learn(kind, score, seed, group=group)
    assert mean(score, before) < 0.7
    assert mean(score, policy) > 0.95


@pytest.mark.parametrize("kind", ["rloo", "grpo"])
def test_a_reward_that_says_nothing_teaches_nothing(learn: Any, kind: str) -> None:
    changes = []
    for seed in range(6):
        policy, before = learn(kind, noise(seed), seed, kl_coef=0.3, steps=20)
        changes.append(mean(says_green, policy, 600) - mean(says_green, before, 600))
    spread = torch.tensor(changes)
    assert spread.mean().abs() <= 3 * spread.std() / 6**0.5
