"""Who writes the rollouts: the policy as it is, or as it was when its weights were last taken over."""

from __future__ import annotations

import torch
from torch import nn

from trueward.models import lora
from trueward.models.network import Network
from trueward.training.state import State

NAME = "sampler"  # in a state's networks


def stale_copy(policy: Network, sync_every: int) -> dict[str, nn.Module]:
    """The older weights as a part of the state, if there are any: {"sampler": a copy} or nothing."""
    return {} if sync_every == 1 else {NAME: lora.clone_sharing_frozen(policy.model).requires_grad_(False)}


@torch.no_grad()
def rollout_network(state: State, policy: Network, sync_every: int) -> Network:
    """The network that writes the next rollout; every `refresh` steps, from step 0 on, it takes over the policy's weights."""
    if sync_every == 1:
        return policy
    model = state.networks[NAME]
    if state.step % sync_every == 0:
        for old, new in zip(
            lora.own_parameters(model).values(), lora.own_parameters(policy.model).values(), strict=True
        ):
            old.copy_(new)
    return Network(model, policy.tokenizer)
