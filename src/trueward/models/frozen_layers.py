"""Computation that networks share: a value head on the policy's own network, and lower layers that don't learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from trueward.batches import Lower, Tokens, by_parts
from trueward.models import heads, precision
from trueward.models.fast import packed
from trueward.models.lora import is_adapted
from trueward.models.sharded import is_sharded
from trueward.models.truncated import layer_stack, top_layers
from trueward.token_budget import Budget


class ValueHead(nn.Module):
    """A scalar of each state, zero at first: [..., D] -> [..., 1] of another network's states."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config.get_text_config()
        weight = next(model.parameters())
        dtype = torch.float32 if weight.dtype is precision.LOW else weight.dtype
        self.score = nn.Linear(config.hidden_size, 1, bias=False, dtype=dtype, device=weight.device)
        nn.init.zeros_(self.score.weight)


def freeze_lower_layers(model: Any, layers: int, setting: str = "policy.trainable_layers") -> None:
    """Only the top `layers` layers and what comes after them go on learning; with 0 everything does.

    The embeddings don't, nor an output head that shares their weights or not; a scalar head does. Of a model with adapters
    those below stop, and nothing begins. `ValueError` if the model has no list of layers, or fewer; setting: its name there.
    """
    if not layers:
        return
    top = top_layers(model, layers, setting)
    stack = layer_stack(model)
    assert stack is not None
    if is_adapted(model):
        stack[1][: top.start].requires_grad_(False)
        return
    body: Any = model.base_model
    model.requires_grad_(False)
    for layer in stack[1][top.start :]:
        layer.requires_grad_(True)
    norms = [m for name, m in body.named_children() if "norm" in name or name == "ln_f"]
    for above in [*norms, getattr(model, "score", None)]:
        if isinstance(above, nn.Module):
            above.requires_grad_(True)
    if not is_sharded(model):  # parts stay as they were cut
        precision.keep(model)


def with_lower_states(model: Any, tokens: Tokens, trainable_layers: int, budget: Budget) -> Tokens:
    """The tokens with the output of the model's lowest layers, where these don't learn and the fast path covers the model.

    Only for models with the same lowest layers: the policy, and the reference that it started from.
    """
    if not trainable_layers or not packed.covers(model):
        return tokens
    layers = model.config.num_hidden_layers - trainable_layers

    def read(part: Tokens) -> Tensor:
        with precision.products(model):
            return packed.lower_states(model, part, layers)

    states = by_parts(read, tokens, budget, heads.prompt_groups(model, tokens))
    return replace(tokens, lower=Lower(layers, states))
