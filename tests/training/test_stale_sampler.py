"""Who writes the rollouts: the policy itself, or its weights of some steps ago."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from trueward.models.network import Network
from trueward.training.stale_sampler import rollout_network, stale_copy
from trueward.training.state import State

MakeNetwork = Callable[..., Network]


@pytest.mark.parametrize(("refresh", "seen"), [(1, [0, 1, 2, 3, 4]), (2, [0, 0, 2, 2, 4]), (3, [0, 0, 0, 3, 3])])
def test_the_weights_are_those_of_the_last_refresh(make_policy: MakeNetwork, refresh: int, seen: list[int]) -> None:
    policy = make_policy()
    state = State({"policy": policy.model, **stale_copy(policy, refresh)}, {})
    found = []
    for step in range(5):
        state.step = step
        with torch.no_grad():
            for p in policy.model.parameters():
                p.fill_(float(step))
        network = rollout_network(state, policy, refresh)
        assert (network.model is policy.model) == (refresh == 1)
        values = {float(v) for p in network.model.parameters() for v in p.detach().aminmax()}
        assert len(values) == 1
        found.append(values.pop())
    assert found == seen


def test_no_copy_where_none_is_needed(make_policy: MakeNetwork) -> None:
    policy = make_policy()
    assert stale_copy(policy, 1) == {}
    (copy,) = stale_copy(policy, 2).values()
    assert not any(p.requires_grad for p in copy.parameters())
    assert all(p.requires_grad for p in policy.model.parameters())
