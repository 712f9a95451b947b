"""The ticks of a chart's axes, and their labels."""

from __future__ import annotations

import math
from collections.abc import Sequence


def ticks(low: float, high: float, *, about: int = 5, whole: bool = False) -> list[float]:
    """Round, evenly spaced, rising numbers that cover low to high. about: how many, roughly. whole: whole numbers only."""
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-3):  # a single value: a margin on both sides
        room = max(abs(low) * 0.1, 1.0 if whole or not low else 1e-9)
        low, high = low - room, high + room
    power = 10.0 ** math.floor(math.log10((high - low) / about))
    steps = [m * power for m in (1, 2, 2.5, 5, 10, 20)]
    if whole:
        steps = [s for s in steps if s >= 1 and s == int(s)] or [1.0]

    def covering(step: float) -> list[float]:
        # Rounding avoids an extra tick for 0.3 / 0.1 = 2.9999999999999996.
        first, last = math.floor(round(low / step, 9)), math.ceil(round(high / step, 9))
        return [float(f"{i * step:.12g}") for i in range(first, max(last, first + 1) + 1)]

    def badness(values: list[float]) -> float:
        wasted = (values[-1] - values[0]) / (high - low) - 1
        return 2 * wasted + 0.25 * abs(len(values) - 1 - about)

    return min(map(covering, steps), key=badness)


def tick_names(values: Sequence[float], percent: bool) -> list[str]:
    """Numbers with as many digits as their step needs. percent: fractions as percentages."""
    step = values[1] - values[0]
    digits = next((d for d in range(10) if math.isclose(round(step, d), step, rel_tol=1e-6)), 10)
    names = [f"{100 * v:.0f} %" if percent else f"{v:.3g}" if abs(v) >= 1e6 else f"{v:.{digits}f}" for v in values]
    return [name.replace("-", "−") for name in names]
