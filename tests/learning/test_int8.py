"""What rollouts of the int8 sampler teach: the expected policy gradient, by enumeration of all answers of one token."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trueward.losses.importance import importance_weights
from trueward.losses.policy import clipped_surrogate
from trueward.models.network import Network
from trueward.sampling.fast import FastDecoder


@pytest.fixture
def rough(make_policy: Callable[..., Network]) -> tuple[Network, Tensor, Tensor, Tensor]:
    """A policy whose weights suffer from whole numbers, a prompt, the sampler's log-probs, and rewards by token."""
    network = make_policy(initializer_range=1.0)
    with torch.no_grad():
        for name, weight in network.model.named_parameters():
            if name.endswith("proj.weight"):
                weight[:, 0] *= 30  # one column that sets each row's step
        prompt = torch.tensor([[1, 9, 14, 20]])
        decoder = FastDecoder(network.model, "int8")
        decoder.start(1, 5)
        sampler = decoder.prefill(torch.tensor([0]), prompt, torch.tensor([4]))[0].log_softmax(-1)
    rewards = torch.randn(len(sampler), generator=torch.Generator().manual_seed(1))
    return network, prompt, sampler, rewards


def gradient(network: Network, loss: Tensor) -> Tensor:
    parameters = [p for p in network.model.parameters() if p.requires_grad]
    found = torch.autograd.grad(loss, parameters, retain_graph=True)
    return torch.cat([g.flatten() for g in found])


def test_the_weights_take_the_samplers_bias_out_of_the_gradient(rough: tuple[Network, Tensor, Tensor, Tensor]) -> None:
    network, prompt, sampler, rewards = rough
    policy = network.model(input_ids=prompt).logits[0, -1].log_softmax(-1)
    exact = gradient(network, -(policy.exp() * rewards).sum())  # E[reward], minus: what the losses descend
    drawn, mask = sampler.exp(), torch.ones(len(sampler), 1, dtype=torch.bool)
    old = policy.detach()[:, None]
    weights = importance_weights(old, sampler[:, None], mask)[:, 0]
    assert weights.max() > 1.2, "else the sampler would be no other policy"
    by_token = clipped_surrogate(policy[:, None], old, rewards[:, None], mask, 0.2)[0][:, 0]
    corrected = gradient(network, (drawn * weights * by_token).sum())
    believed = gradient(network, (drawn * by_token).sum())
    assert (corrected - exact).norm() < 1e-4 * exact.norm()
    assert (believed - exact).norm() > 0.02 * exact.norm()
    # PPO's own ratio to the recorded log-probs would do, if it were not clipped.
    clipped = clipped_surrogate(policy[:, None], sampler[:, None], rewards[:, None], mask, 0.2)[0][:, 0]
    assert (gradient(network, (drawn * clipped).sum()) - exact).norm() > 0.02 * exact.norm()
