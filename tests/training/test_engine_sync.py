"""Who writes the rollouts: the policy itself, or its weights of some steps ago."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trueward.models.network import Network
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams
from trueward.training.state import State

MakeNetwork = Callable[..., Network]
PARAMS = SamplingParams(max_new_tokens=3, max_num_seqs=4)


def engine(sync_every: int) -> LocalEngine:
    return LocalEngine(PARAMS, sync_every)


def fill(network: Network, value: float) -> None:
    with torch.no_grad():
        for p in network.model.parameters():
            p.fill_(value)


def held(made: LocalEngine) -> float:
    """The one value that all weights of the network have that samples."""
    assert made.network is not None
    values = {float(v) for p in made.network.model.parameters() for v in p.detach().aminmax()}
    (only,) = values
    return only


@pytest.mark.parametrize(("sync_every", "seen"), [(1, [0, 1, 2, 3, 4]), (2, [0, 0, 2, 2, 4]), (3, [0, 0, 0, 3, 3])])
def test_the_weights_are_those_of_the_last_sync(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], sync_every: int, seen: list[int]
) -> None:
    """As a loop syncs it: at every step whose number is a multiple. Each rollout says of which step the weights are."""
    policy, made = make_policy(), engine(sync_every)
    made.hold(policy)
    found, versions = [], []
    for step in range(5):
        fill(policy, float(step))
        if step % sync_every == 0:
            made.publish(policy, step)
        assert made.network is not None
        assert (made.network.model is policy.model) == (sync_every == 1)
        found.append(held(made))
        versions.append(made.sample(toy_prompts[:2], Draws(step)).version)
    assert found == versions == seen


def test_no_copy_where_none_is_needed(make_policy: MakeNetwork) -> None:
    policy = make_policy()
    assert engine(1).hold(policy) == {}
    (copy,) = engine(2).hold(policy).values()
    assert not any(p.requires_grad for p in copy.parameters())
    assert all(p.requires_grad for p in policy.model.parameters())


def test_what_it_holds_is_what_samples_after_a_resume(make_policy: MakeNetwork, tmp_path: Path) -> None:
    """A checkpoint between two syncs has the older weights in it, and loading it puts them into the engine."""
    policy, before, after = make_policy(), engine(2), engine(2)
    state = State({"policy": policy.model, **before.hold(policy)}, {})
    fill(policy, 2.0)
    before.publish(policy, 2)
    fill(policy, 3.0)
    state.save(tmp_path / "state", {})
    other = make_policy(seed=9)
    State({"policy": other.model, **after.hold(other)}, {}).load(tmp_path / "state")
    assert held(before) == held(after) == 2.0
    assert {float(p.detach().min()) for p in other.model.parameters()} == {3.0}
