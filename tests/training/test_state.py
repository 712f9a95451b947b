"""A training loop's state on disk: what was interrupted goes on as if it had not been."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from trueward.algorithms import grpo, ppo, reward_model, sft
from trueward.config import PolicyConfig, RewardConfig, SftConfig
from trueward.models.network import Network
from trueward.records import Comparison, Completion, Prompt, Response, Score
from trueward.sampling.ahead import AheadEngine
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams
from trueward.scorers.scorer import Scale
from trueward.training.critic import Critic
from trueward.training.setup import Online, Ranking, Supervised
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


def supervised(network: Network, rows: list[Completion]) -> Supervised:
    return Supervised(policy=network, demonstrations=rows, seed=3, micro_batch_tokens=1000)


def test_sft_goes_on_bit_for_bit(make_policy: MakeNetwork, demonstrations: list[Completion], tmp_path: Path) -> None:
    rows = demonstrations[:10]
    straight = supervised(make_policy(), rows)
    whole = sft.start(CONFIG, straight)
    assert sft.steps(CONFIG, straight) == len(list(sft.train(CONFIG, straight, whole))) == 5

    before = supervised(make_policy(), rows)
    interrupted = sft.start(CONFIG, before)
    list(itertools.islice(sft.train(CONFIG, before, interrupted), 2))
    interrupted.save(tmp_path / "state", {"sizes": {"a": 1}})

    fresh = supervised(make_policy(seed=99), rows)
    resumed = sft.start(CONFIG, fresh)
    assert resumed.load(tmp_path / "state") == {"sizes": {"a": 1}}
    assert resumed.step == 2
    assert same(interrupted, resumed)
    assert [step.number for step in sft.train(CONFIG, fresh, resumed)] == [3, 4, 5]
    assert same(whole, resumed)


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
    setups = [
        Ranking(network=make_reward(seed=seed), comparisons=comparisons, seed=3, micro_batch_tokens=12)
        for seed in (0, 0, 99)
    ]
    straight, interrupted, resumed = (reward_model.start(config, setup) for setup in setups)
    assert reward_model.steps(config, setups[0]) == len(list(reward_model.train(config, setups[0], straight))) == 5
    list(itertools.islice(reward_model.train(config, setups[1], interrupted), 2))
    interrupted.save(tmp_path / "state", {})
    resumed.load(tmp_path / "state")
    list(reward_model.train(config, setups[2], resumed))
    assert same(straight, resumed)


NESTED: list[dict[str, Any]] = [
    {"critic": {"warmup_steps": 2}},
    {"sync_every": 2, "importance_sampling_cap": 2.0},
    {"sync_every": 3, "ptx_coef": 0.1},
    {"max_staleness": 1, "importance_sampling_cap": 2.0},
    {"max_staleness": 2, "importance_sampling_cap": 2.0},
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
    sync_every, staleness = settings.get("sync_every", 1), settings.get("max_staleness", 0)
    config = PolicyConfig(
        steps=5,
        batch_size=6,
        minibatches=2,
        epochs=2,
        learning_rate=3e-3,
        value_learning_rate=3e-3,
        target_kl=0.1,
        **{name: value for name, value in settings.items() if name not in ("sync_every", "max_staleness")},
    )

    def begin(seed: int) -> tuple[Online, State]:
        own = LocalEngine(SamplingParams(max_new_tokens=5, max_num_seqs=4), sync_every)
        setup = Online(
            policy=make_policy(seed=seed),
            reference=make_policy(),
            critic=Critic(make_reward(seed=seed), Scale(0.0, 1.0)),
            sampler=AheadEngine(own, staleness) if staleness else own,
            scorer=lambda completions: [Score(score=float(len(c.response))) for c in completions],
            prompts=toy_prompts,
            demonstrations=demonstrations,
            seed=3,
            micro_batch_tokens=40,
        )
        return setup, ppo.start(config, setup)

    straight, before, fresh = begin(0), begin(0), begin(99)
    assert ("sampler" in straight[1].networks) == (sync_every > 1)
    assert sum(name.startswith("sampler_") for name in straight[1].networks) == staleness
    list(ppo.train(config, *straight))
    list(itertools.islice(ppo.train(config, *before), done))
    before[1].save(tmp_path / "state", {})
    fresh[1].load(tmp_path / "state")
    list(ppo.train(config, *fresh))
    assert straight[1].numbers["kl_coef"] != config.kl_coef
    assert same(straight[1], fresh[1])
    for setup, _ in (straight, before, fresh):
        setup.sampler.close()


def test_a_state_without_a_step_is_saved_too(make_policy: MakeNetwork, tmp_path: Path) -> None:
    network, other = make_policy(), make_policy(seed=1)
    state = sft.start(CONFIG, supervised(network, []))
    state.save(tmp_path / "state", {})
    fresh = sft.start(CONFIG, supervised(other, []))
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

    def begin(seed: int) -> tuple[Online, State]:
        setup = Online(
            policy=make_policy(seed=seed),
            reference=make_policy(),
            sampler=LocalEngine(SamplingParams(max_new_tokens=5, max_num_seqs=4), sync_every=2),
            scorer=lambda completions: [Score(score=float("t" in c.response)) for c in completions],
            prompts=toy_prompts,
            demonstrations=demonstrations,
            seed=3,
            micro_batch_tokens=40,
        )
        return setup, grpo.start(config, setup)

    straight, before, fresh = begin(0), begin(0), begin(99)
    assert sum(step.metrics["refill/rounds"] for step in grpo.train(config, *straight)) > 0
    list(itertools.islice(grpo.train(config, *before), done))
    before[1].save(tmp_path / "state", {})
    fresh[1].load(tmp_path / "state")
    list(grpo.train(config, *fresh))
    assert same(straight[1], fresh[1])
