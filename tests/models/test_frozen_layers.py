"""A value head on the policy's own network, and layers that don't learn: the numbers of the plain way, in fewer passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.algorithms import grpo, ppo
from trueward.batches import Step, Tokens
from trueward.config import PolicyConfig
from trueward.models import frozen_layers, heads
from trueward.models.fast import packed
from trueward.models.frozen_layers import ValueHead
from trueward.models.network import Network
from trueward.records import Prompt, Score
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams
from trueward.scorers.scorer import Scale
from trueward.training.critic import Critic
from trueward.training.setup import Algorithm, Online
from trueward.training.state import State

MakeNetwork = Callable[..., Network]
A, B = [1, 9, 12, 7], [1, 8]
PAIRS = [(A, [20, 31, 2]), (B, [25, 14, 40, 33, 2]), (A, [17]), ([1, 30, 11], [3, 2])]


def judge(completions: Any) -> list[Score]:
    return [Score(score=len(c.response) % 7 - 3.0) for c in completions]


def named(model: Any) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


@pytest.fixture
def step(make_policy: MakeNetwork, make_reward: MakeNetwork, toy_prompts: list[Prompt]) -> Callable[..., Any]:
    """One step of ppo or grpo from the same weights; the state after it."""

    def go(kind: str = "ppo", is_shared: bool = False, **changes: Any) -> tuple[State, list[Step], Network]:
        settings = {"steps": 1, "batch_size": 8, "minibatches": 2, "learning_rate": 1e-2, "warmup": 0.0}
        config = PolicyConfig(**{"kind": kind, "group": {"size": 4}, **settings, **changes})
        policy, critic = make_policy(), Critic(make_reward(), Scale(0.5, 2.0))
        if is_shared:
            critic = Critic(Network(ValueHead(policy.model), policy.tokenizer), Scale(0.0, 2.0), policy.model)
        setup = Online(
            policy=policy,
            reference=make_policy(),
            sampler=LocalEngine(SamplingParams(max_new_tokens=8)),
            scorer=judge,
            prompts=toy_prompts,
            critic=critic,
            seed=2,
            micro_batch_tokens=60,
        )
        algorithm: Algorithm = grpo if kind == "grpo" else ppo
        state = algorithm.start(config, setup)
        return state, list(algorithm.train(config, setup, state)), policy

    return go


def test_one_pass_reads_what_two_read(make_policy: MakeNetwork) -> None:
    model, tokens = make_policy().model, Tokens.collate(PAIRS, 0)
    head = ValueHead(model)
    torch.nn.init.normal_(head.score.weight, generator=torch.Generator().manual_seed(1))
    logprobs, entropy, values = heads.logprobs_entropy_and_values(model, head.score, tokens, 0.8)
    expected = heads.response_logprobs_and_entropy(model, tokens, 0.8)
    assert torch.equal(logprobs, expected[0])
    assert torch.equal(entropy, expected[1])
    states = heads.hidden_states(model, tokens.ids)
    before = tokens.before
    by_hand = heads.from_flat((states[before] @ head.score.weight[0]), tokens)
    assert torch.allclose(values, by_hand, atol=1e-5)


def test_a_shared_trunk_learns_from_both_losses(step: Callable[..., Any]) -> None:
    alone, together = (
        step(is_shared=True, critic={"trunk": "shared", "coef": 1e-9}),
        step(is_shared=True, critic={"trunk": "shared", "coef": 5.0}),
    )
    assert [n for n, _ in alone[0].networks["value"].named_parameters()] == ["score.weight"]
    before, after = named(alone[2].model), named(together[2].model)
    moved = [(before[name] - after[name]).abs().max() for name in before]
    assert max(moved) > 1e-4
    assert together[0].networks["value"].score.weight.any()


def test_while_the_values_warm_up_the_trunk_stays(step: Callable[..., Any], make_policy: MakeNetwork) -> None:
    critic = {"trunk": "shared", "warmup_steps": 1}
    state, steps, _ = step(is_shared=True, critic=critic, steps=2)
    assert len(steps) == 2
    first = step(is_shared=True, critic=critic, steps=2)
    assert torch.equal(state.networks["value"].score.weight, first[0].networks["value"].score.weight)
    assert "policy/grad_norm" not in steps[0].metrics
    assert "policy/grad_norm" in steps[1].metrics


@pytest.mark.parametrize("kind", ["ppo", "grpo"])
def test_layers_that_do_not_learn(kind: str, step: Callable[..., Any], make_policy: MakeNetwork) -> None:
    before = named(make_policy().model)
    after = named(step(kind, trainable_layers=1)[2].model)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith(("model.layers.1.", "model.norm.")) for name in moved)


@pytest.mark.parametrize("kind", ["ppo", "grpo"])
def test_the_lowest_layers_are_computed_once_and_nothing_changes(
    kind: str, step: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what the lowest layers made of the rollout, and without: the same step."""
    quick = named(step(kind, trainable_layers=1, epochs=2)[2].model)
    monkeypatch.setattr(frozen_layers, "with_lower_states", lambda model, tokens, layers, budget: tokens)
    slow = named(step(kind, trainable_layers=1, epochs=2)[2].model)
    for name, weight in slow.items():
        assert torch.allclose(quick[name], weight, atol=2e-5), name


def test_lower_states_are_those_of_the_layers(make_policy: MakeNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = make_policy().model, Tokens.collate(PAIRS, 0)
    real = torch.arange(tokens.ids.shape[1]) < tokens.lengths[:, None]
    with torch.no_grad():
        expected = model.model(input_ids=tokens.ids, output_hidden_states=True).hidden_states
    for layers in (0, 1):
        got = packed.lower_states(model, tokens, layers)
        assert torch.allclose(got[real], expected[layers][real], atol=1e-5)
        assert not got[~real].any()
    # Taken along when rows are chosen, and read in the place of the layers below.
    lower = frozen_layers.with_lower_states(model, tokens, 1, 9).take(torch.tensor([3, 0, 2]))
    monkeypatch.setattr(model.model.embed_tokens, "weight", torch.nn.Parameter(torch.full((1, 1), torch.nan)))
    states = heads.states_at(model, lower, lower.before)
    assert torch.isfinite(states).all()


def test_layers_that_are_not_there(make_policy: MakeNetwork) -> None:
    with pytest.raises(ValueError, match=r"policy\.trainable_layers = 9: layers that learn, but the model has 2"):
        frozen_layers.freeze_lower_layers(make_policy().model, 9)


def test_all_of_it_learns_by_default(make_policy: MakeNetwork) -> None:
    model = make_policy().model
    frozen_layers.freeze_lower_layers(model, 0)
    assert all(p.requires_grad for p in model.parameters())
