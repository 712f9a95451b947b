"""The charts of the report's code as SVG files that stand alone, for the pages of docs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from trueward.reporting.chart_series import Series
from trueward.reporting.chart_style import STYLE, TONE_STYLE
from trueward.reporting.charts import line_chart

Line = tuple[str, int, Sequence[float], Sequence[float]]  # name, tone, x, y
ROOM = 60  # more on the right: the lines' names are bold, and wider than the chart reckons


def lines(
    title: str, x_label: str, y_label: str, several: Sequence[Line], x_names: Mapping[float, str] | None = None
) -> str:
    """One chart, every line with its own places."""
    series = [Series(name, list(y), x=list(x), tone=tone) for name, tone, x, y in several]
    longest = max((x for _, _, x, _ in several), key=len, default=[])
    thin = len(several) > 4
    return alone(line_chart(title, x_label, y_label, series, x=list(longest), thin=thin, x_names=x_names))


def doublings(title: str, x_label: str, y_label: str, several: Sequence[Line]) -> str:
    """Both axes by powers of two, every line from its own first cost on: one that grows as the work climbs one for one."""
    moved = [(n, tone, [math.log2(v) for v in x], [math.log2(v / y[0]) for v in y]) for n, tone, x, y in several]
    names = {math.log2(v): f"{v:,.0f}" for _, _, x, _ in several for v in x}
    return lines(title, x_label, f"doublings of {y_label}", moved, dict(sorted(names.items())))


def alone(svg: str) -> str:
    """With its style inside and its name space, as a file needs them."""
    head, rest = svg.split(">", 1)
    head = re.sub(r'viewBox="0 0 (\d+) ', lambda found: f'viewBox="0 0 {int(found[1]) + ROOM} ', head)
    return f'{head} xmlns="http://www.w3.org/2000/svg"><style>{STYLE}{TONE_STYLE}</style>{rest}\n'
