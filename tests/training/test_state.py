"""A training loop's state on disk: what was interrupted goes on as if it had not been."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward.algorithms import grpo, ppo, reward_model, sft
from trueward.batches import Step
from trueward.config import PolicyConfig, RewardConfig, SftConfig
from trueward.models.network import Network
from trueward.records import Comparison, Completion, Prompt, Response, Score
from trueward.sampling.sampler import SamplingParams, sample
from trueward.scorers.scorer import Scale
from trueward.training.state import State, adam

MakeNetwork = Callable[..., Network]
CONFIG = SftConfig(batch_size=2, epochs=1.0, learning_rate=1e-2, weight_decay=0.1)


def same(one: State, other: State) -> bool:
    """Weights and the optimiser's whole memory, bit for bit."""
    for name, network in one.networks.items():
        pairs = zip(network.parameters(), other.networks[name].parameters(), strict=True)
        if not all(torch.equal(a, b) for a, b in pairs):
            return False
    for name, optimizer in one.optimizers.items():
        mine, theirs = optimizer.state_dict()["state"], other.optimizers[name].state_dict()["state"]
        if mine.keys() != theirs.keys():
            return False
        for index, entry in mine.items():
            if entry.keys() != theirs[index].keys():
                return False
            if not all(torch.equal(torch.as_tensor(v), torch.as_tensor(theirs[index][k])) for k, v in entry.items()):
                return False
    return one.step == other.step and one.numbers == other.numbers


def test_sft_goes_on_bit_for_bit(make_policy: MakeNetwork, demonstrations: list[Completion], tmp_path: Path) -> None:
    rows = demonstrations[:10]

    def loop(network: Network, state: State) -> Iterator[Step]:
        return sft.train(CONFIG, policy=network, demonstrations=rows, state=state, seed=3, micro_batch_tokens=1000)

    whole = make_policy()
    straight = sft.start(CONFIG, whole)
    assert len(list(loop(whole, straight))) == 5

    before = make_policy()
    interrupted = sft.start(CONFIG, before)
    list(itertools.islice(loop(before, interrupted), 2))
    interrupted.save(tmp_path / "state", {"sizes": {"a": 1}})

    fresh = make_policy(seed=99)
    resumed = sft.start(CONFIG, fresh)
    assert resumed.load(tmp_path / "state") == {"sizes": {"a": 1}}
    assert resumed.step == 2
    assert same(interrupted, resumed)
    assert [step.number for step in loop(fresh, resumed)] == [3, 4, 5]
    assert same(straight, resumed)


def test_the_reward_model_goes_on_bit_for_bit(make_reward: MakeNetwork, tmp_path: Path) -> None:
    config = RewardConfig(batch_size=2, epochs=2.5, learning_rate=1e-2)
    comparisons = [
        Comparison(
            prompt=Prompt(text=f"the {noun}"),
            first=Response(id="1", text=" is great ."),
            second=Response(id="2", text=" is dull", finished=False),
            probability=1.0,
            source="test",
        )
        for noun in ("film", "movie", "story", "drama")
    ]

    def loop(network: Network, state: State) -> Iterator[Step]:
        return reward_model.train(
            config, network=network, comparisons=comparisons, state=state, seed=3, micro_batch_tokens=12
        )

    whole, before, fresh = make_reward(), make_reward(), make_reward(seed=99)
    straight, interrupted, resumed = (reward_model.start(config, n) for n in (whole, before, fresh))
    assert len(list(loop(whole, straight))) == 5
    list(itertools.islice(loop(before, interrupted), 2))
    interrupted.save(tmp_path / "state", {})
    resumed.load(tmp_path / "state")
    list(loop(fresh, resumed))
    assert same(straight, resumed)


NESTED: list[dict[str, Any]] = [
    {"critic": {"warmup_steps": 2}},
    {"refresh": 2, "importance_sampling_cap": 2.0},
    {"refresh": 3, "ptx_coef": 0.1},
]


@pytest.mark.parametrize(("settings", "done"), [({}, 2), *((s, n) for s in NESTED for n in (1, 2, 3))])
def test_ppo_goes_on_bit_for_bit_with_its_adaptive_beta(
    make_policy: MakeNetwork,
    make_reward: MakeNetwork,
    toy_prompts: list[Prompt],
    demonstrations: list[Completion],
    tmp_path: Path,
    settings: dict[str, Any],
    done: int,
) -> None:
    refresh = settings.get("refresh", 1)
    config = PolicyConfig(
        steps=5,
        batch_size=6,
        minibatches=2,
        epochs=2,
        learning_rate=3e-3,
        value_learning_rate=3e-3,
        target_kl=0.1,
        **{name: value for name, value in settings.items() if name != "refresh"},
    )

    def setup(seed: int) -> tuple[Network, ppo.Critic, State]:
        policy, critic = make_policy(seed=seed), ppo.Critic(make_reward(seed=seed), Scale(0.0, 1.0))
        return policy, critic, ppo.start(config, policy, critic, refresh)

    def loop(policy: Network, critic: ppo.Critic, state: State) -> Iterator[Step]:
        return ppo.train(
            config,
            policy=policy,
            reference=make_policy(),
            critic=critic,
            sample=lambda n, p, g: sample(n, p, SamplingParams(max_new_tokens=5, max_num_seqs=4), g),
            scorer=lambda completions: [Score(score=float(len(c.response))) for c in completions],
            prompts=toy_prompts,
            temperature=1.0,
            state=state,
            seed=3,
            micro_batch_tokens=40,
            demonstrations=demonstrations,
            sync_every=refresh,
        )

    straight, before, fresh = setup(0), setup(0), setup(99)
    list(loop(*straight))
    list(itertools.islice(loop(*before), done))
    before[2].save(tmp_path / "state", {})
    fresh[2].load(tmp_path / "state")
    list(loop(*fresh))
    assert straight[2].numbers["kl_coef"] != config.kl_coef
    assert same(straight[2], fresh[2])


def test_a_state_without_a_step_is_saved_too(make_policy: MakeNetwork, tmp_path: Path) -> None:
    network, other = make_policy(), make_policy(seed=1)
    state = sft.start(CONFIG, network)
    state.save(tmp_path / "state", {})
    fresh = sft.start(CONFIG, other)
    fresh.load(tmp_path / "state")
    assert same(state, fresh)


def test_saving_again_replaces_the_old_state(make_policy: MakeNetwork, tmp_path: Path) -> None:
    network = make_policy()
    state = State({"policy": network.model}, {"policy": adam(network.model, 1e-3)}, step=1, numbers={"x": 0.1})
    state.save(tmp_path / "state", {"turn": 1})
    state.step, state.numbers = 2, {"x": 1 / 3}
    state.save(tmp_path / "state", {"turn": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["state"]
    assert state.load(tmp_path / "state") == {"turn": 2}
    assert (state.step, state.numbers) == (2, {"x": 1 / 3})


def test_matrices_decay_and_vectors_do_not(make_policy: MakeNetwork) -> None:
    network = make_policy()
    optimizer = adam(network.model, 0.1, weight_decay=0.5)
    before = {name: p.detach().clone() for name, p in network.model.named_parameters()}
    for p in network.model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    for name, p in network.model.named_parameters():
        shrunk = before[name] * (1 - 0.1 * 0.5) if p.ndim >= 2 else before[name]
        torch.testing.assert_close(p.detach(), shrunk)


@pytest.mark.parametrize("done", [1, 2, 3])
def test_grpo_goes_on_bit_for_bit_with_an_older_sampler_and_refilled_groups(
    make_policy: MakeNetwork, demonstrations: list[Completion], toy_prompts: list[Prompt], tmp_path: Path, done: int
) -> None:
    group = {"size": 2, "drop_equal_groups": True, "refill": 3}
    more = {"importance_sampling_cap": 2.0, "ptx_coef": 0.1, "kl_coef": 0.0}
    config = PolicyConfig(kind="grpo", steps=4, batch_size=8, minibatches=2, learning_rate=3e-3, group=group, **more)

    def setup(seed: int) -> tuple[Network, State]:
        policy = make_policy(seed=seed)
        return policy, grpo.start(config, policy, sync_every=2)

    def loop(policy: Network, state: State) -> Iterator[Step]:
        return grpo.train(
            config,
            policy=policy,
            reference=make_policy(),
            sample=lambda n, p, g: sample(n, p, SamplingParams(max_new_tokens=5, max_num_seqs=4), g),
            scorer=lambda completions: [Score(score=float("t" in c.response)) for c in completions],
            prompts=toy_prompts,
            temperature=1.0,
            longest=5,
            state=state,
            seed=3,
            micro_batch_tokens=40,
            demonstrations=demonstrations,
            sync_every=2,
        )

    straight, before, fresh = setup(0), setup(0), setup(99)
    assert sum(step.metrics["refill/rounds"] for step in loop(*straight)) > 0
    list(itertools.islice(loop(*before), done))
    before[1].save(tmp_path / "state", {})
    fresh[1].load(tmp_path / "state")
    list(loop(*fresh))
    assert same(straight[1], fresh[1])
