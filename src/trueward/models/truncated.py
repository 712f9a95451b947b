"""A model without its top layers: what reads the states of a middle layer as if they were the last ones."""

from __future__ import annotations

from typing import Any

from torch import nn

from trueward.models.layer_states import layers_of


def layer_stack(model: Any) -> tuple[str, nn.ModuleList] | None:
    """The name and the list of a model's layers, from the lowest; None where it has no such list."""
    count = layers_of(model)
    stacks = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.ModuleList) and len(m) == count]
    return stacks[0] if count and stacks else None


def top_layers(model: Any, layers: int, setting: str) -> range:
    """The numbers of the top `layers` layers, those that learn; with 0 of none.

    `ValueError` if the model has no list of layers, or fewer. setting: its name in the error.
    """
    if not layers:
        return range(0)
    stack = layer_stack(model)
    if stack is None or layers > len(stack[1]):
        raise ValueError(too_few(setting, layers, None if stack is None else len(stack[1])))
    return range(len(stack[1]) - layers, len(stack[1]))


def too_few(setting: str, layers: int, count: int | None) -> str:
    """The message for more layers that should learn than there are. count: of the model; None: it has no list of them."""
    has = "has no list of them" if count is None else f"has {count}"
    return f"{setting} = {layers}: layers that learn, but the model {has}"


def keep_lowest(model: Any, layers: int) -> None:
    """Take away all layers above the lowest `layers`, in place; what comes after the layers (the last norm) stays.

    The model is saved and loaded like any of its family. `ValueError` if it has fewer layers, or no list of them.
    """
    stack = layer_stack(model)
    if stack is None or layers > len(stack[1]):
        has = "has no list of them" if stack is None else f"has {len(stack[1])}"
        raise ValueError(f"reward.layers = {layers}: the lowest layers of the base, but the model {has}")
    name, lowest = stack
    if layers == len(lowest):
        return
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, lowest[:layers])
    for config in {id(c): c for c in (model.config, model.base_model.config)}.values():
        config.num_hidden_layers = layers
        if isinstance(kinds := getattr(config, "layer_types", None), list | tuple):
            config.layer_types = list(kinds[:layers])


def keep_configured(model: Any) -> None:
    """Take away the layers that a model's trunk has above what its configuration says, in place.

    So it is where a model of the lowest layers stands on the weights of its whole base.
    """
    wanted, there = layers_of(model), layers_of(model.base_model)
    if wanted < there:
        model.config.num_hidden_layers = there
        keep_lowest(model, wanted)
