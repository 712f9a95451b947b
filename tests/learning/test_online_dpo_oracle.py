"""What online DPO finds through its sampled loop, against the optimum of what each setting optimises, by enumeration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor

from trueward.config import PolicyConfig
from trueward.losses.preference import labels as label
from trueward.models.network import Network

pytestmark = pytest.mark.learned
BETA = 0.5
CLOSE, APART = 0.01, 0.05  # nats


@pytest.fixture
def task(make_task: Callable[..., Any]) -> Any:
    """Two prompts of different lengths, fifteen answers to each."""
    return make_task(["a", "b b"], 3, 4)


def learned(task: Any, seed: int = 0, steps: int = 150, beta: float = BETA, **dpo: Any) -> Network:
    """128 comparisons a step: as many answers as the other sampled oracles have."""
    config = PolicyConfig(
        kind="dpo",
        steps=steps,
        batch_size=128,
        kl_coef=beta,
        warmup=0,
        missing_eos_penalty=0,
        max_grad_norm=1e9,
        dpo={"online": True, "learning_rate": 0.05, **dpo},
    )
    policy: Network = task.learned("online_dpo", config, seed)
    return policy


@pytest.mark.parametrize("seed", [0, 1])
def test_with_soft_labels_it_finds_the_tilt(task: Any, seed: int) -> None:
    assert task.kl(task.of(learned(task, seed)), task.tilt(BETA)) < CLOSE


def test_with_hard_labels_it_runs_past_the_tilt_to_the_best_answer(task: Any) -> None:
    near, far = (task.of(learned(task, steps=steps, labels="hard")) for steps in (150, 250))
    assert task.kl(near, task.tilt(BETA)) > APART
    assert task.kl(far, task.tilt(BETA)) > task.kl(near, task.tilt(BETA))
    tilt, first, later = (task.probabilities(c) @ task.rewards() for c in (task.tilt(BETA), near, far))
    assert (first > tilt).all()
    assert (later > first).all()


def equilibrium(task: Any, how: str, beta: float) -> Tensor:
    """log π/π_ref = E_{y' ~ π}[2p(y, y') − 1]/(2β) + const, solved for π: where IPO on its own answers stands still.

    The normal equations of Σ π(y)π(y')(h(y) − h(y') − (2p − 1)/(2β))² with h = log π/π_ref, with the pairs' distribution
    held fixed.
    """
    rewards = task.rewards()
    others = rewards.expand(len(rewards), -1)
    chance = label(others.T, others, how)
    reference = task.probabilities(task.of(task.reference))
    found = reference
    for _ in range(500):
        found = 0.5 * found + 0.5 * (reference.log() + found @ (2 * chance - 1).T / (2 * beta)).softmax(1)
    return found


@pytest.mark.parametrize("labels", ["soft", "hard"])
def test_ipo_finds_its_own_equilibrium(task: Any, labels: str) -> None:
    beta = 0.35
    found = task.probabilities(task.of(learned(task, beta=beta, loss="ipo", labels=labels)))
    other = equilibrium(task, "soft" if labels == "hard" else "hard", beta)

    def distance(q: Tensor) -> float:
        return float((found * (found / q).log()).sum(1).mean())

    assert distance(equilibrium(task, labels, beta)) < CLOSE
    assert distance(other) > APART
    assert distance(task.probabilities(task.tilt(beta))) > APART


@pytest.mark.parametrize(
    "dpo", [{"loss": "robust", "label_smoothing": 0.1}, {"loss": "simpo"}, {"label_smoothing": 0.1}]
)
def test_the_other_losses_learn_too(task: Any, dpo: dict[str, Any]) -> None:
    policy = learned(task, steps=40, **dpo)
    gain = (task.probabilities(task.of(policy)) - task.probabilities(task.of(task.reference))) @ task.rewards()
    assert (gain > 0.3).all()
