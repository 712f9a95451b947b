"""The fast path of training: the hidden states of a model, where they're needed and nowhere else.

Sequences are packed one after the other, without padding, so that norms and matrix products see real tokens only; only
the attention works on padded blocks. What isn't needed isn't computed:
- a prompt that several responses share is computed once;
- tokens after the last state needed are left out;
- the last layer has queries only where a state is needed.
The numbers are transformers' (tests/models/fast/test_packed.py). Which families it covers says spec.py; others take the general
path (heads.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from trueward import transfers
from trueward.batches import Tokens
from trueward.models import precision, sharded
from trueward.models.fast import layer, proof, spec
from trueward.models.fast.layer import Rotation, Rotations
from trueward.models.fast.layout import Layout, layout, prompt_numbers
from trueward.models.fast.spec import LayerSpec
from trueward.tracking import beats

__all__ = ["Layout", "compiled_layers", "covers", "is_compiled", "layout", "lower_states", "prompt_numbers", "states"]

is_compiled = False  # whether layers run through torch.compile; set by `compiled_layers`


@contextmanager
def compiled_layers(on: bool) -> Iterator[None]:
    """Within this scope layers run through torch.compile, or don't (`runtime.compile`); afterwards as before.

    In every thread, because autograd may run a layer again in a thread of its own.
    """
    global is_compiled
    before, is_compiled = is_compiled, on
    try:
        yield
    finally:
        is_compiled = before


def covers(model: Any) -> bool:
    """Whether this module computes the model exactly: its family, its settings, no dropout.

    Not in float64: transformers takes norms and angles in float32 even there, and this module would not.
    """
    config = model.config
    if config.model_type not in spec.FAMILIES or model.dtype == torch.float64:
        return False
    dropped = ("attention_dropout", "resid_pdrop", "embd_pdrop")
    if model.training and any(getattr(config, name, None) for name in dropped):
        return False
    return proof.holds("packed", model, _fits, _beside_transformers)


def _fits(model: Any) -> bool:
    return spec.activation(model.config) in layer.ACTIVATIONS and spec.layers(model) is not None


def states(model: Any, tokens: Tokens, where: Tensor) -> Tensor:
    """The last layer's output after the final norm at `where` [B, T], a mask in the host's memory, row by row: [n, D]."""
    body, specs = model.base_model, _specs(model)
    place = layout(tokens, where, *_masks(model, specs))
    with beats.forward(len(place.ids)):
        skipped = 0
        if tokens.lower is None:
            x = body.embed_tokens(place.ids)
        else:
            skipped, x = tokens.lower.layers, tokens.lower.read(place.sources)
        rest = _angles(body, specs, x, place), place, is_compiled
        gate = spec.activation(model.config)
        for one, own in zip(body.layers[skipped:-1], specs[skipped:-1], strict=True):
            x = sharded.layer_output(layer.output, one, own, gate, x, *rest)
        x = sharded.layer_output(layer.last_output, body.layers[-1], specs[-1], gate, x, *rest)
        return layer.norm(body.norm, x, x.dtype)


@sharded.reads_whole_model
@torch.no_grad()
def lower_states(model: Any, tokens: Tokens, layers: int) -> Tensor:
    """The output of the lowest `layers` layers, [B, T, D]; 0 at padding."""
    body, specs = model.base_model, _specs(model)
    real = torch.arange(tokens.ids.shape[1]) < tokens.host.lengths[:, None]
    place = layout(tokens, real, *_masks(model, specs))
    with beats.forward(len(place.ids)):
        x = body.embed_tokens(place.ids)
        rest = _angles(body, specs, x, place), place, is_compiled
        gate = spec.activation(model.config)
        for one, own in zip(body.layers[:layers], specs[:layers], strict=True):
            x = sharded.layer_output(layer.output, one, own, gate, x, *rest)
    states = x[place.wanted.to[place.wanted.back]]
    at = transfers.moved(real.flatten().nonzero().squeeze(1), x.device)
    out: Tensor = x.new_zeros(real.numel(), x.shape[1]).index_copy_(0, at, states).view(*real.shape, -1)
    return out


def _beside_transformers(model: Any, tokens: Tokens) -> tuple[Tensor, Tensor]:
    """States before each token of the response by this module, and by the model's own forward pass."""
    where = tokens.before
    with compiled_layers(False):
        return states(model, tokens, where), model.base_model(input_ids=tokens.ids, use_cache=False)[0][where]


def _specs(model: Any) -> list[LayerSpec]:
    found = spec.layers(model)
    assert found is not None, "covers() comes first"
    return found


def _angles(body: Any, specs: list[LayerSpec], x: Tensor, place: Layout) -> Rotations:
    """The angles of each token, for every rotary embedding that the layers have."""
    found: dict[str | None, Rotation] = {}
    for kind in dict.fromkeys(one.rotary for one in specs):
        if kind is not None:
            cos, sin = body.rotary_emb(x, place.positions[None], *([kind] if kind else []))
            half = cos.shape[-1] // 2
            found[kind] = cos[0, :, None, :half].contiguous(), sin[0, :, None, :half].contiguous()
    return found


def _masks(model: Any, specs: list[LayerSpec]) -> tuple[torch.dtype, int | None]:
    """The type of attention's masks, that of its products; and the window of those layers that have one."""
    dtype: torch.dtype = model.base_model.norm.weight.dtype
    window = next((one.window for one in specs if one.window is not None), None)
    return precision.LOW if precision.is_low(model) else dtype, window
