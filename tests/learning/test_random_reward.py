"""The random-reward control: a score that has nothing to do with the text moves no truth, whoever optimises it.

The truth is known for every answer, so what a policy gains in it is an exact sum. The same test with the truth for the
score shows that it would have seen a gain.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.records import Completion
from trueward.sampling.draws import Draws

pytestmark = pytest.mark.learned
SEEDS = 10
ON_POLICY = {
    "steps": 25,
    "batch_size": 64,
    "minibatches": 1,
    "learning_rate": 0.1,
    "value_learning_rate": 0.1,
    "kl_coef": 0.5,
}
SETTINGS: dict[str, dict[str, Any]] = {
    "ppo": ON_POLICY,
    "grpo": ON_POLICY,
    "rloo": ON_POLICY,
    "online_dpo": {**ON_POLICY, "batch_size": 32, "dpo": {"online": True, "learning_rate": 0.1}},
    "online_dpo, hard": {
        **ON_POLICY,
        "batch_size": 32,
        "dpo": {"online": True, "learning_rate": 0.1, "labels": "hard"},
    },
    "best_of_n": {"best_of_n": {"n": 4}},
    "sft_on_best": {"best_of_n": {"n": 4}, "imitation": {"learning_rate": 0.1, "epochs": 10, "batch_size": 64}},
}


@pytest.fixture
def task(make_task: Callable[..., Any]) -> Any:
    return make_task(["a", "b b"], 3, 4)


def noise(seed: int) -> Callable[[Completion], float]:
    """Another number at every call, of SD 1."""
    draw = random.Random(seed)
    return lambda completion: draw.gauss(0, 1)


@pytest.fixture
def change(task: Any, optimise_by: Callable[..., Any]) -> Callable[..., tuple[float, float]]:
    """What optimising a score did to the truth, in units of the truth, and the KL that it went, in nats."""
    truth, reference = task.rewards(), task.probabilities(task.of(task.reference))
    before = float((reference @ truth).mean())

    def measure(kind: str, seed: int, score: Callable[[Completion], float]) -> tuple[float, float]:
        made = optimise_by(
            kind.split(",")[0],
            policy=task.policy(),
            reference=task.reference,
            critic=task.critic(),
            params=task.params,
            score=score,
            prompts=task.prompts * 64,
            seed=seed,
            **SETTINGS[kind],
        )
        if kind == "best_of_n":  # nothing is trained: what it writes is what counts
            written = made.write(made.policy, task.prompts * 128, Draws(seed)).completions
            return sum(task.scores[c.response] for c in written) / len(written) - before, float("nan")
        found = task.of(made.policy)
        return float((task.probabilities(found) @ truth).mean()) - before, task.kl(found, task.of(task.reference))

    return measure


@pytest.mark.parametrize("kind", SETTINGS)
def test_a_random_reward_moves_no_truth(task: Any, change: Callable[..., tuple[float, float]], kind: str) -> None:
    found = [change(kind, seed, noise(seed)) for seed in range(SEEDS)]
    moved: Tensor = torch.tensor([gain for gain, _ in found], dtype=torch.float64)
    error = float(moved.std()) / SEEDS**0.5
    real = [change(kind, seed, lambda c: task.scores[c.response])[0] for seed in range(2)]
    # Student's t of ten runs: beyond 6 with probability 2e-4. Of the truth for the score it was 17 to 94.
    assert abs(float(moved.mean())) <= 6 * error
    if kind != "best_of_n":
        assert min(kl for _, kl in found) > 1e-3, "it did learn, and what it learned is noise"
    assert min(real) > 10 * error
