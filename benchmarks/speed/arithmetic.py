"""Ratios and their spread, and the least work that a stage needs: no torch, no clock."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

from speed.sizes import Size


class Ratio(NamedTuple):
    """How many times as fast: the median of paired runs, the lowest and the highest."""

    middle: float
    low: float
    high: float


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """Rates of runs that were made in turn. Each is set against the one beside it, so a machine that slows down in the
    middle slows down both."""
    if len(ours) != len(theirs) or not ours:
        raise ValueError(f"{len(ours)} runs of ours and {len(theirs)} of theirs are no pairs")
    each = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Ratio(median(each), min(each), max(each))


class Work(NamedTuple):
    """What one unit (a token, a pair, a rollout) takes through the networks."""

    tokens: float
    """Tokens of prompts and responses."""
    chosen: float
    """Those of them at which a token is chosen, or a response's token is learned from."""


PASSES = {  # (passes of tokens through trunk and head, passes of tokens through a trunk without that head)
    "sft": lambda epochs: (6, 0),
    "reward": lambda epochs: (0, 6),
    "dpo": lambda epochs: (6 + 2, 0),
    "grpo": lambda epochs: (6 * epochs + 2 + 2, 2),
    "ppo": lambda epochs: (6 * epochs + 2 + 2, 6 * epochs + 2 + 2),
    "ppo-shared": lambda epochs: (6 * epochs + 2 + 2, 2 + 2),
}
"""2 for a pass forward, 6 for one forward and backward, in operations a weight and token. DPO: the policy, the reference.
GRPO: the policy, the reference, sampling; the reward model. PPO: the same, and the value network, forward once and learning;
if that is a head on the policy, a pass for what it says at first."""


def operations(stage: str, size: Size, work: Work, epochs: int = 1) -> float:
    """Floating-point operations of one unit, all weights at every token: the usual 6·N·tokens (model FLOPs)."""
    whole, bare = PASSES[stage](epochs)
    return whole * (size.trunk + size.head) * work.tokens + bare * size.trunk * work.tokens


def needed(stage: str, size: Size, work: Work, epochs: int = 1) -> float:
    """The same, with logits only where a token is chosen: what nobody can do without."""
    whole, bare = PASSES[stage](epochs)
    return (whole + bare) * size.trunk * work.tokens + whole * size.head * work.chosen


def share(rate: float, operations_each: float, limit: float) -> float:
    """Of the machine's limit, in operations a second."""
    return rate * operations_each / limit


def decoding_floor(size: Size, rows: int, prompt: float, answer: float, limit: float, bandwidth: float) -> float:
    """Seconds that `rows` answers take at least: prompts read once; then at each token every weight comes from memory once
    (`bandwidth`, bytes a second) or is multiplied with every row (`limit`, operations a second), whichever takes longer.

    What fits into the processor's caches doesn't come from memory, so for size S the floor is that of the products.
    """
    weights = size.trunk + size.head
    reading = 2 * rows * prompt * size.trunk / limit
    fetched = 4 * weights / bandwidth if 4 * weights > CACHE else 0.0
    return reading + answer * max(2 * weights * rows / limit, fetched)


CACHE = 32e6  # bytes: about the last-level cache that two cores of a server have


def exponent(amounts: Sequence[float], costs: Sequence[float]) -> float:
    """p of cost ∝ amount^p, by least squares of the logarithms."""
    if len(amounts) < 2:
        raise ValueError("an exponent needs two amounts or more")
    xs, ys = [math.log(a) for a in amounts], [math.log(c) for c in costs]
    mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
    return sum((x - mx) * (y - my) for x, y in zip(xs, ys, strict=True)) / sum((x - mx) ** 2 for x in xs)
