"""The sizes of a model that its memory follows from, read from its configuration. No weights are read or made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM

from trueward.models import places, smollm2, tabular, tiny
from trueward.models.fast import packed
from trueward.models.quiet import quiet
from trueward.sampling.fast import FastDecoder

LOOKED_UP = (
    "its configuration is all that a plan needs; give a local folder, or fetch it once where the hub can be reached"
)


@dataclass(frozen=True)
class ModelShape:
    """A causal language model's sizes: numbers of weights and features."""

    weights: int
    """All of them, shared ones once."""
    vocabulary: int
    layers: int
    hidden: int
    attention: int
    """Features of all query heads together."""
    key_value: int
    """Features of all key heads together; those of the values are as many."""
    feed_forward: int
    linear: tuple[tuple[str, int, int], ...]
    """Every linear layer of the trunk: its own name, the features it takes, those it gives."""
    is_packed: bool = True
    """Whether it learns on the packed path (models/fast)."""
    has_decoder: bool = False
    """Whether the sampler lays its weights out anew (sampling/fast.py)."""

    @property
    def matrices(self) -> int:
        """Weights of the trunk's linear layers."""
        return sum(rows * columns for _, rows, columns in self.linear)

    def adapter(self, rank: int, targets: str | tuple[str, ...]) -> int:
        """Weights of an adapter of this rank on the targets: r·(in + out) each."""
        chosen = [(i, o) for name, i, o in self.linear if targets == "all-linear" or name in targets]
        return rank * sum(i + o for i, o in chosen)


def of_config(config: Any) -> ModelShape:
    """The sizes of the model that a configuration of transformers describes, whose weights are counted on torch's `meta`."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    return of_model(model)


def of_model(model: Any) -> ModelShape:
    """The sizes of a model that is there, on whatever device."""
    config = model.config.get_text_config()
    heads = int(getattr(config, "num_attention_heads", 1) or 1)
    size = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    kv_heads = int(getattr(config, "num_key_value_heads", None) or heads)
    head = model.get_output_embeddings()
    linear = tuple(
        (name.rpartition(".")[2], *_sizes(module))
        for name, module in model.named_modules()
        if _is_linear(module) and module is not head
    )
    wide = max((columns for _, _, columns in linear), default=4 * config.hidden_size)
    return ModelShape(
        weights=sum(p.numel() for p in model.parameters()),
        vocabulary=len(head.weight),
        layers=int(config.num_hidden_layers),
        hidden=int(config.hidden_size),
        attention=heads * size,
        key_value=kv_heads * size,
        feed_forward=int(getattr(config, "intermediate_size", None) or wide),
        linear=linear,
        is_packed=packed.covers(model),
        has_decoder=FastDecoder.covers(model),
    )


def _is_linear(module: Any) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"  # GPT-2's, which stores it transposed


def _sizes(module: Any) -> tuple[int, int]:
    if isinstance(module, nn.Linear):
        return module.in_features, module.out_features
    rows, columns = module.weight.shape
    return int(rows), int(columns)


@quiet()
def read(place: str) -> ModelShape | None:
    """The sizes of a model by path, hub name, or one that ships; None for a table, which has next to none.

    `ValueError` in one line if its configuration isn't there or can't be read.
    """
    if place == "trueward:tiny":
        return of_model(tiny.build()[0])
    if place == "trueward:smollm2":
        return read(str(smollm2.directory()))
    if place == "trueward:nano" or tabular.is_tabular(Path(place)):
        return None
    found = places.shipped(place)
    places.require_model(found)
    if places.find_file(found, "config.json") is None:
        raise ValueError(
            f"{place}: there is no such folder, and its config.json is neither here nor to be had; {LOOKED_UP}"
        )
    with places.in_one_line(place, "a model"):
        return of_config(places.read_config(found))
