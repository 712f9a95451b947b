"""Points of a chart, and paths through them. `place` maps a point from data to pixels."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

Number = float | None
Point = tuple[float, float]
Placer = Callable[[Point], Point]


def number(value: Number) -> Number:
    """The value if it is finite, else None."""
    return value if value is not None and math.isfinite(value) and abs(value) < 1e100 else None


def runs(points: Sequence[Point | None]) -> list[list[int]]:
    """Indices of the stretches without a gap."""
    stretches: list[list[int]] = [[]]
    for i, point in enumerate(points):
        if point is not None:
            stretches[-1].append(i)
        elif stretches[-1]:
            stretches.append([])
    return [run for run in stretches if run]


def along(points: Sequence[Point]) -> list[Point]:
    """Points along the polyline, a few pixels apart."""
    out = list(points)
    for (ax, ay), (bx, by) in pairwise(points):
        count = int(math.hypot(bx - ax, by - ay) / 6)
        out += [(ax + (bx - ax) * i / (count + 1), ay + (by - ay) * i / (count + 1)) for i in range(1, count + 1)]
    return out


def path(points: Sequence[Point]) -> str:
    """A polyline as the `d` of an SVG path."""
    return "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in points)
