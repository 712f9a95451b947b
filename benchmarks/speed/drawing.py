"""The charts of the report's code as SVG files that stand alone, for the pages of docs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trueward.instruments.charts import STYLE, TONE_STYLE, Series, line_chart

Line = tuple[str, int, Sequence[float], Sequence[float]]  # name, tone, x, y


def lines(title: str, x_label: str, y_label: str, several: Sequence[Line]) -> str:
    """One chart, every line with its own places."""
    series = [Series(name, list(y), x=list(x), tone=tone) for name, tone, x, y in several]
    longest = max((x for _, _, x, _ in several), key=len, default=[])
    return alone(line_chart(title, x_label, y_label, series, x=list(longest), thin=len(several) > 4))


def doubling(title: str, x_label: str, y_label: str, several: Sequence[Line]) -> str:
    """Both axes by powers of two: a cost that grows as the work is a line that climbs one for one."""
    logs = [(name, tone, [math.log2(v) for v in x], [math.log2(v) for v in y]) for name, tone, x, y in several]
    low = min((y for _, _, _, ys in logs for y in ys), default=0.0)
    moved = [(name, tone, x, [v - low for v in y]) for name, tone, x, y in logs]
    return lines(title, f"log₂ of {x_label}", f"log₂ of {y_label}, from the cheapest on", moved)


def alone(svg: str) -> str:
    """With its style inside and its name space, as a file needs them."""
    head, rest = svg.split(">", 1)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{STYLE}{TONE_STYLE}</style>{rest}\n'
