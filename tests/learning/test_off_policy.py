"""What rollouts of an older policy teach, through the real loops: the expected update by enumeration of all rollouts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.algorithms import grpo, ppo
from trueward.batches import Rollout, Tokens
from trueward.config import PolicyConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, TabularScalar
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams
from trueward.scorers.scorer import Scale
from trueward.training.critic import Critic
from trueward.training.setup import Algorithm, Online
from trueward.training.state import State

BETA = 0.5
KINDS: dict[str, dict[str, Any]] = {
    "ppo": {"batch_size": 1},
    "rloo": {"batch_size": 2, "group": {"size": 2}},
    "rloo, weight": {"batch_size": 2, "group": {"size": 2, "ratio": "weight"}},
}


def random(task: Any, seed: int) -> Network:
    """A policy of its own; answers of one token."""
    model = TabularPolicy(5, task.order, task.context).double()
    with torch.no_grad():
        model.table.fill_(-1e4)
        draw = torch.Generator().manual_seed(seed)
        model.table[:, task.choices] = torch.randn(model.states, 3, generator=draw).double()
    return Network(model, task.tokenizer)


class Dictated(LocalEngine):
    """Between two syncs: what it samples is told beforehand, the log-probs are those of the weights that it holds."""

    def __init__(self, task: Any, answers: Sequence[int]) -> None:
        super().__init__(SamplingParams(max_new_tokens=1), sync_every=2)
        self.task, self.answers = task, answers

    def publish(self, policy: Network, version: int) -> None:
        raise AssertionError("step 1 is the one between")

    def sample(self, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        assert self.network is not None
        task, answers = self.task, self.answers
        tokens = Tokens.collate([(list(task.starts[0]), [a]) for a in answers], 0)
        chances = task.of(self.network)(task.starts[0])
        logprobs = torch.zeros(tokens.ids.shape, dtype=torch.float64)
        logprobs[:, -1] = torch.stack([chances[a].log() for a in answers])
        door = Collator(task.tokenizer, task.context)
        return Rollout(tokens, logprobs, [door.completion(p, [a]) for p, a in zip(prompts, answers, strict=True)])


def update(task: Any, kind: str, answers: Sequence[int], **changes: Any) -> tuple[Tensor, dict[str, float]]:
    """What one step of plain descent at rate 1 adds to the policy, when an older policy wrote these answers."""
    settings = {"kl_coef": BETA, "missing_eos_penalty": 0, "whiten_advantages": False, "value_clip": 1e9}
    once = {"steps": 2, "epochs": 1, "minibatches": 1, "warmup": 0, "decay": False}
    free = {"learning_rate": 1.0, "value_learning_rate": 1.0, "max_grad_norm": 1e9}
    config = PolicyConfig(**{"kind": kind.split(",")[0], **settings, **once, **free, **KINDS[kind], **changes})
    policy, older = random(task, 1), random(task, 2)
    before = policy.model.table.detach().clone()

    engine = Dictated(task, answers)
    value = TabularScalar(5, task.order, task.context).double()
    torch.nn.init.normal_(value.table, generator=torch.Generator().manual_seed(3))
    setup = Online(
        seed=0,
        micro_batch_tokens=1000,
        policy=policy,
        reference=task.reference,
        sampler=engine,
        scorer=task.judge,
        prompts=task.prompts,
        critic=Critic(Network(value, task.tokenizer), Scale(0.0, 1.0)),
    )
    networks = {"policy": policy.model, "value": value}
    descent: dict[str, torch.optim.Optimizer] = {
        name: torch.optim.SGD(n.parameters(), lr=1.0) for name, n in networks.items()
    }
    state = State({**networks, **engine.hold(older)}, descent, step=1, numbers={"kl_coef": BETA})
    algorithm: Algorithm = ppo if kind == "ppo" else grpo
    (step,) = algorithm.train(config, setup, state)
    return policy.model.table.detach() - before, step.metrics


def expected_update(task: Any, kind: str, **changes: Any) -> Tensor:
    chances, size = task.of(random(task, 2))(task.starts[0]), KINDS[kind]["batch_size"]
    total = torch.zeros(())
    for answers in itertools.product(task.choices, repeat=size):
        total = total + chances[list(answers)].prod() * update(task, kind, answers, **changes)[0]
    return total


def on_policy_gradient(task: Any) -> Tensor:
    """∇ Σ_a π(a)(score(a) − β log π(a)/π_ref(a)), all answers counted."""
    table = random(task, 1).model.table.detach().requires_grad_()
    ids = torch.tensor([task.starts[0]])
    row = table[random(task, 1).model.state(ids)[0, -1]]
    chances = row.softmax(-1)[task.choices]
    reference = task.of(task.reference)(task.starts[0])[task.choices]
    scores = torch.tensor([task.scores[task.text((a,))] for a in task.choices], dtype=torch.float64)
    (chances * (scores - BETA * (chances / reference).log())).sum().backward()
    assert table.grad is not None
    return table.grad


@pytest.fixture
def task(make_task: Callable[..., Any]) -> Any:
    """One prompt, answers of one token."""
    return make_task(["a"], 1, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_weighted_and_not_truncated_the_expected_update_is_that_on_policy(task: Any, kind: str) -> None:
    wanted = on_policy_gradient(task)
    assert wanted.abs().max() > 0.02
    torch.testing.assert_close(expected_update(task, kind, importance_sampling_cap=1e9), wanted, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["ppo", "rloo"])
def test_unweighted_or_truncated_it_is_another_one(task: Any, kind: str) -> None:
    wanted = on_policy_gradient(task)
    for changes in ({}, {"importance_sampling_cap": 1.0}):
        assert (expected_update(task, kind, **changes) - wanted).abs().max() > 0.01


def test_the_cap_bounds_what_a_token_weighs(task: Any) -> None:
    """By hand: the same update but for the weight, and the figures that are logged."""
    old, new = (task.of(random(task, seed))(task.starts[0]) for seed in (2, 1))
    ratios = {a: float(new[a] / old[a]) for a in task.choices}
    assert max(ratios.values()) > 1.3
    assert min(ratios.values()) < 1
    for answer, ratio in ratios.items():
        free, figures = update(task, "ppo", [answer], importance_sampling_cap=1e9)
        capped, seen = update(task, "ppo", [answer], importance_sampling_cap=1.2)
        torch.testing.assert_close(capped, free * min(ratio, 1.2) / ratio, rtol=1e-9, atol=1e-12)
        assert figures["importance/weight"] == pytest.approx(ratio, rel=1e-9)
        assert seen["importance/weight"] == pytest.approx(min(ratio, 1.2), rel=1e-9)
        assert seen["importance/truncated"] == float(ratio > 1.2)
        assert seen["val/ratio_first"] < 1e-9  # the ratio is to the policy at the step's start
        unweighted, plain = update(task, "ppo", [answer])
        assert plain["val/ratio_first"] == pytest.approx(abs(ratio - 1), rel=1e-9)
        assert plain["importance/weight"] == pytest.approx(ratio, rel=1e-9)
        assert unweighted.isfinite().all()


@pytest.mark.parametrize("kind", ["ppo", "rloo"])
def test_the_anchor_is_that_of_the_policy_that_learns(task: Any, kind: str) -> None:
    answers = task.choices[: KINDS[kind]["batch_size"]]
    _, figures = update(task, kind, answers)
    new, reference = task.of(random(task, 1))(task.starts[0]), task.of(task.reference)(task.starts[0])
    expected = sum(float((new[a] / reference[a]).log()) for a in answers) / len(answers)
    assert figures["objective/kl"] == pytest.approx(expected, abs=1e-6)
