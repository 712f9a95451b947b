"""Who writes the rollouts: the policy as it is, or as it was when its weights were last taken over."""

from __future__ import annotations

import torch
from torch import nn

from trueward.models import lora
from trueward.models.loading import Network
from trueward.models.state import State

NAME = "sampler"  # in a state's networks


def behind(policy: Network, refresh: int) -> dict[str, nn.Module]:
    """The older weights as a part of the state, if there are any: {"sampler": a copy} or nothing."""
    return {} if refresh == 1 else {NAME: lora.twin(policy.model).requires_grad_(False)}


@torch.no_grad()
def writer(state: State, policy: Network, refresh: int) -> Network:
    """The network that writes the next rollout; every `refresh` steps, from step 0 on, it takes over the policy's weights."""
    if refresh == 1:
        return policy
    model = state.networks[NAME]
    if state.step % refresh == 0:
        for old, new in zip(lora.own(model).values(), lora.own(policy.model).values(), strict=True):
            old.copy_(new)
    return Network(model, policy.tokenizer)
