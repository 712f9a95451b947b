"""When a curve of truth against seconds arrives at a goal, and what two of them say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

Point = Mapping[str, Any]  # seconds, truth_gain, kl


class Arrival(NamedTuple):
    """The first point at the goal: when, and at what KL."""

    seconds: float
    kl: float


def arrival(points: Sequence[Point], goal: float, kl: float) -> Arrival | None:
    """The first point whose truth is at least `goal` SDs above SFT's and whose KL is at most `kl` nats; None if none is."""
    for point in points:
        if point["truth_gain"] >= goal and point["kl"] <= kl:
            return Arrival(point["seconds"], point["kl"])
    return None


class Race(NamedTuple):
    """Seconds of both sides over the seeds, and how many times as long the peer's took: median, lowest, highest."""

    ours: float
    peer: float
    ratio: float
    low: float
    high: float
    bound: bool
    """Whether some run of the peer's ended before it arrived, so that it counts with the time it had: the ratio is higher."""


def race(curves: Sequence[tuple[Sequence[Point], Sequence[Point]]], goal: float, kl: float) -> Race | None:
    """One pair of curves, ours and the peer's, for each seed. None where ours didn't arrive on some seed."""
    ours, theirs, bound = [], [], False
    for mine, other in curves:
        here, there = arrival(mine, goal, kl), arrival(other, goal, kl)
        if here is None:
            return None
        bound |= there is None
        ours.append(here.seconds)
        theirs.append(other[-1]["seconds"] if there is None else there.seconds)
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    return Race(median(ours), median(theirs), median(ratios), min(ratios), max(ratios), bound)
