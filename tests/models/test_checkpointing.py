"""Layers that keep their inputs alone: the gradients of layers that keep everything, to the bit, and less that is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from trueward.batches import Tokens
from trueward.config import LoraConfig
from trueward.models import checkpointing, heads, lora
from trueward.models.network import Network

MakeNetwork = Callable[..., Network]
ROWS = [([1, 5, 6], [7, 8, 9, 2]), ([1, 5, 6], [9, 2]), ([1, 4], [3, 3, 5, 6, 7])]
LAYERS = 4


def loss(network: Network, tokens: Tokens) -> Tensor:
    if hasattr(network.model, "score"):
        return heads.response_values(network.model, tokens).square().sum()
    return heads.response_logprobs(network.model, tokens).sum()


def gradients(network: Network, tokens: Tokens, on: bool) -> list[Tensor]:
    network.model.zero_grad()
    with checkpointing.checkpointed_layers(on):
        loss(network, tokens).backward()
    return [p.grad.clone() for p in network.model.parameters() if p.grad is not None]


def kept(network: Network, tokens: Tokens, on: bool) -> int:
    """Numbers that a forward pass keeps for the backward pass, weights left out, each layer's input counted."""
    storages: dict[int, int] = {}
    own = {p.untyped_storage()._cdata for p in network.model.parameters()}
    inputs: list[int] = []

    def pack(x: Tensor) -> Tensor:
        if (at := x.untyped_storage()._cdata) not in own:
            storages[at] = x.untyped_storage().nbytes() // 4
        return x

    again = checkpointing._again

    def counted(forward: Any, *args: Any, **kwargs: Any) -> Any:
        inputs.append(sum(a.numel() for a in args if isinstance(a, Tensor)))
        return again(forward, *args, **kwargs)

    with checkpointing.checkpointed_layers(on), torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        checkpointing._again = counted
        try:
            result = loss(network, tokens)
        finally:
            checkpointing._again = again
    assert len(inputs) == (LAYERS if on else 0)
    assert result.requires_grad
    return sum(storages.values()) + sum(inputs)


@pytest.mark.parametrize("kind", ["packed", "general", "value", "adapters"])
def test_the_same_gradients_and_less_is_kept(make_policy: MakeNetwork, make_reward: MakeNetwork, kind: str) -> None:
    settings: dict[str, Any] = {"num_hidden_layers": LAYERS}
    if kind == "general":
        settings["attention_dropout"] = 0.0
    network = (make_reward if kind == "value" else make_policy)(0, **settings)
    if kind == "general":
        network.model.config.hidden_act = "gelu"  # no family of the fast path
        for layer in network.model.model.layers:
            layer.mlp.act_fn = nn.GELU()
    if kind == "adapters":
        lora.adapt(network.model, LoraConfig(rank=2), 0)
    tokens = Tokens.collate(ROWS, 0)
    plain, again = gradients(network, tokens, False), gradients(network, tokens, True)
    assert len(plain) == len(again) > 0
    assert all(a.equal(b) for a, b in zip(plain, again, strict=True))
    assert kept(network, tokens, True) < 0.6 * kept(network, tokens, False)


def test_without_gradients_nothing_is_done_twice(make_policy: MakeNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpointing, "_again", None)
    network, tokens = make_policy(), Tokens.collate(ROWS, 0)
    with torch.no_grad(), checkpointing.checkpointed_layers(True):
        found = loss(network, tokens)
    assert found.equal(loss(network, tokens).detach())


def test_a_model_is_left_as_it_was(make_policy: MakeNetwork) -> None:
    network = make_policy()
    with checkpointing.checkpointed_layers(True), checkpointing.around(network.model):
        assert all("forward" in vars(layer) for layer in network.model.model.layers)
    assert all("forward" not in vars(layer) for layer in network.model.model.layers)
    assert not checkpointing.is_on
