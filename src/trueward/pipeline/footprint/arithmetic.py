"""Bytes of training and sampling, from a model's sizes and the tokens that go through it at once.

What a layer keeps for its backward pass is counted tensor by tensor from models/fast/layer.py. At each token these are the
layer's input and that of its second norm, what both norms give, queries, keys and values, the mixed values before and after
they are put back into rows, and in the feed-forward network gate and up, silu(gate) and their product: 4·D + 3·A + 2·K + 4·F
numbers. In the last layer that holds only where a state is needed. benchmarks/memory.py holds it against what processes take.
"""

from __future__ import annotations

from dataclasses import dataclass

from trueward.models.fast.fused import HELD
from trueward.models.fast.projections import NARROW
from trueward.pipeline.footprint.model_shape import ModelShape
from trueward.sampling.general import SPARE

FLOAT = 4  # bytes of a number that learns, of its gradient, of each of Adam's moments, and of what a layer keeps


@dataclass(frozen=True)
class Widths:
    """Bytes of a number: of frozen weights, of what a layer keeps for its backward pass, and of what the sampler lays out and
    keeps of keys and values."""

    frozen: float = FLOAT
    kept: float = FLOAT
    sampled: float = FLOAT


LOW = Widths(frozen=2.0, sampled=2.0)
"""With products in bfloat16, where frozen matrices, the sampler's and its keys and values are kept in that."""


def kept_by_layer(shape: ModelShape, checkpointing: bool) -> int:
    """Numbers that a layer keeps at each token until its backward pass; with checkpointing its input alone."""
    if checkpointing:
        return shape.hidden
    return 4 * shape.hidden + 3 * shape.attention + 2 * shape.key_value + 4 * shape.feed_forward + _more(shape)


def joined(shape: ModelShape) -> int:
    """Weights that all layers together keep a second time: narrow ones join q, k, v and gate, up for each pass."""
    if not shape.is_packed or shape.hidden > NARROW:
        return 0
    return shape.layers * shape.hidden * (shape.attention + 2 * shape.key_value + 2 * shape.feed_forward)


def _more(shape: ModelShape) -> int:
    """What other families' own code keeps beside that: norms in two steps, and rotated queries and keys once more."""
    return 0 if shape.is_packed else 4 * shape.hidden + shape.attention + shape.key_value


def activations(
    shape: ModelShape, tokens: int, chosen: int, *, checkpointing: bool = False, kept: float = FLOAT
) -> float:
    """Bytes at the start of the backward pass of `tokens` tokens, of which the logits of `chosen` are needed.

    The layer that the backward pass is in takes about its own again, for gradients; with checkpointing it is computed anew.
    """
    whole, own = kept_by_layer(shape, False), kept_by_layer(shape, checkpointing)
    below = (shape.layers - 1) * tokens * own
    last = tokens * 2 * (shape.hidden + shape.key_value) + chosen * (whole - 2 * (shape.hidden + shape.key_value))
    weights = joined(shape) * FLOAT / (shape.layers if checkpointing else 1)
    return (
        weights
        + (below + max(0, last if not checkpointing else chosen * shape.hidden)) * kept
        + max(working(shape, tokens, checkpointing) * kept, logits(shape, chosen))
    )


def working(shape: ModelShape, tokens: int, checkpointing: bool) -> float:
    """Numbers that the backward pass of one layer computes with, beside what the layer kept."""
    return tokens * (kept_by_layer(shape, False) if checkpointing else 3 * shape.feed_forward + shape.hidden)


def logits(shape: ModelShape, chosen: int) -> float:
    """Bytes of the distributions at `chosen` tokens, in float32, and of what is computed from them beside it.

    More than `HELD` numbers are never there at once: they are computed a quarter of that at a time, and again in the
    backward pass (models/fast/fused.py).
    """
    numbers = chosen * shape.vocabulary
    at_once = numbers if numbers <= HELD else HELD // 4
    return 3.0 * at_once * FLOAT


def learned(
    shape: ModelShape, trained: int, tokens: int, chosen: int, *, whole: bool, checkpointing: bool, kept: float
) -> float:
    """Bytes of gradients and activations at the peak of a step, for one network of which `trained` weights learn.

    whole: one micro-batch is the whole batch: gradients appear while activations go, and the peak is at either end.
    """
    acts, gradients = activations(shape, tokens, chosen, checkpointing=checkpointing, kept=kept), trained * FLOAT
    if not whole:
        return acts + gradients
    head = min(gradients, shape.vocabulary * shape.hidden * FLOAT if trained > shape.matrices else 0)
    first = tokens * kept_by_layer(shape, checkpointing) + working(shape, tokens, checkpointing)
    return max(acts + head, first * kept + gradients)


def cache(shape: ModelShape, rows: int, prompt: int, answer: int, kept: float = FLOAT) -> float:
    """Bytes of keys and values of `rows` answers, `kept` bytes a number; the general path has columns to spare."""
    width = prompt + answer + (0 if shape.has_decoder else SPARE)
    return 2.0 * shape.layers * rows * shape.key_value * width * kept


def sampling(
    shape: ModelShape, rows: int, prompt: int, answer: int, decoder: float = FLOAT, kept: float = FLOAT
) -> tuple[float, float]:
    """Bytes of the sampler: its own copy of the weights (0 on the general path), `decoder` bytes a number, and what it
    computes: the cache, `kept` bytes a number, the distributions of all rows, and the reading of the prompts."""
    copy = (shape.matrices + shape.vocabulary * shape.hidden) * decoder if shape.has_decoder else 0.0
    drawing = 4.0 * rows * shape.vocabulary * FLOAT
    reading = rows * prompt * (3 * shape.feed_forward + 4 * shape.hidden) * FLOAT
    return copy, cache(shape, rows, prompt, answer, kept) + max(drawing, reading)


def compared(shape: ModelShape, tokens: int, networks: int) -> float:
    """Bytes of an evaluation's reading: every network's states, and the distributions of two of them side by side."""
    numbers = min(HELD, tokens * shape.vocabulary)
    inside = tokens * (3 * shape.feed_forward + 4 * shape.hidden)
    return FLOAT * (networks * tokens * shape.hidden + max(inside, 6.0 * numbers))
