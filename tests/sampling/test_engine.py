"""A process's own engine: from which weights it samples, what a checkpoint needs of it, what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trueward.batches import Rollout
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.decoder_pool import DecoderPool, forgotten_after_steps
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams, sample
from trueward.training.state import State

MakeNetwork = Callable[..., Network]
PARAMS = SamplingParams(temperature=0.8, max_new_tokens=8, max_num_seqs=6)


def move(network: Network) -> None:
    """Every weight, as a step does."""
    with torch.no_grad():
        for p in network.model.parameters():
            p.mul_(1.3)


def assert_same(found: Rollout, expected: Rollout) -> None:
    assert torch.equal(found.tokens.ids, expected.tokens.ids)
    assert torch.equal(found.logprobs, expected.logprobs)
    assert found.completions == expected.completions


@pytest.mark.parametrize(("sync_every", "versions"), [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [0, 0, 0, 3, 3, 3, 6])])
def test_it_samples_with_the_weights_that_were_published_last(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], sync_every: int, versions: list[int]
) -> None:
    """On policy those are the present ones, published or not; else a copy's. Each rollout says which."""
    policy, engine = make_policy(), LocalEngine(PARAMS, sync_every)
    engine.hold(policy)
    of_version: dict[int, Rollout] = {}
    for step, version in enumerate(versions):
        of_version[step] = sample(policy, toy_prompts, PARAMS, Draws(9))
        engine.sync(policy, step)
        rollout = engine.sample(toy_prompts, Draws(9))
        assert rollout.version == version
        assert_same(rollout, of_version[version])
        assert not any(torch.equal(rollout.logprobs, of_version[v].logprobs) for v in of_version if v != version)
        move(policy)


def test_on_policy_nothing_is_copied_and_no_checkpoint_needs_it(
    make_policy: MakeNetwork, toy_prompts: list[Prompt]
) -> None:
    policy, engine = make_policy(), LocalEngine(PARAMS)
    assert engine.hold(policy) == {}
    assert engine.network is policy
    engine.publish(policy, 0)
    move(policy)  # not published: it's the same network
    assert_same(engine.sample(toy_prompts, Draws(1)), sample(policy, toy_prompts, PARAMS, Draws(1)))


def test_what_it_holds_goes_with_the_loops_checkpoint(make_policy: MakeNetwork, toy_prompts: list[Prompt]) -> None:
    """The network that samples between two syncs, and no other: its weights frozen, written by `publish` alone."""
    policy, engine = make_policy(), LocalEngine(PARAMS, sync_every=3)
    held = engine.hold(policy)
    assert list(held) == ["sampler"]
    assert engine.network is not None
    assert held["sampler"] is engine.network.model
    assert not any(p.requires_grad for p in held["sampler"].parameters())
    assert all(p.requires_grad for p in policy.model.parameters())
    before = sample(policy, toy_prompts, PARAMS, Draws(2))
    move(policy)
    assert_same(engine.sample(toy_prompts, Draws(2)), before)
    engine.publish(policy, 3)
    assert held["sampler"] is engine.network.model, "the state that a loop holds stays the one that samples"
    assert_same(engine.sample(toy_prompts, Draws(2)), sample(policy, toy_prompts, PARAMS, Draws(2)))


def test_a_checkpoint_between_two_syncs_brings_back_the_older_weights(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], tmp_path: Path
) -> None:
    policy, engine = make_policy(), LocalEngine(PARAMS, sync_every=3)
    state = State({"policy": policy.model, **engine.hold(policy)}, {})
    move(policy)
    engine.publish(policy, 3)
    move(policy)
    state.save(tmp_path / "saved", {})
    again, other = make_policy(seed=5), LocalEngine(PARAMS, sync_every=3)
    State({"policy": again.model, **other.hold(again)}, {}).load(tmp_path / "saved")
    other.sync(again, 4)
    rollout = other.sample(toy_prompts, Draws(3))
    assert_same(rollout, engine.sample(toy_prompts, Draws(3)))
    assert rollout.version == 3, "and says whose they are"
    assert_same(sample(again, toy_prompts, PARAMS, Draws(3)), sample(policy, toy_prompts, PARAMS, Draws(3)))


@pytest.mark.parametrize("sync_every", [1, 3])
def test_no_decoder_is_kept_after_a_rollout(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], sync_every: int
) -> None:
    """The weights are about to change, and a decoder is another copy of them."""
    policy, pool = make_policy(), DecoderPool()
    engine = LocalEngine(PARAMS, sync_every, pool)
    engine.hold(policy)
    engine.publish(policy, 0)
    with forgotten_after_steps():
        sample(policy, toy_prompts, PARAMS, Draws(0), pool=pool)
        assert pool._decoder is not None, "whoever measures keeps it"
        engine.sample(toy_prompts, Draws(0))
        assert pool._decoder is None


def test_a_network_is_held_before_anything_else(make_policy: MakeNetwork, toy_prompts: list[Prompt]) -> None:
    engine = LocalEngine(PARAMS)
    with pytest.raises(AssertionError, match=r"hold\(\) comes first"):
        engine.sample(toy_prompts, Draws(0))
    with pytest.raises(AssertionError, match=r"hold\(\) comes first"):
        engine.publish(make_policy(), 0)
