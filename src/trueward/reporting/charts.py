"""Line charts as SVG text, for HTML pages that include `chart_style.STYLE`. No libraries, no scripts, no network."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from trueward.reporting import chart_mark, chart_series
from trueward.reporting.chart_axes import tick_names, ticks
from trueward.reporting.chart_labels import apart, labelled
from trueward.reporting.chart_mark import Mark
from trueward.reporting.chart_path import Number, Point, along, number, runs
from trueward.reporting.chart_series import NINETY_FIVE, Series, banded, points_of
from trueward.reporting.chart_style import STYLE, TONE_STYLE, css_class

LETTER = 7.3  # width of a digit at 13 px, rounded up: sets the margins


def line_chart(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    *,
    x: Sequence[Number],
    description: str = "",
    best: int | None = None,
    best_label: str = "best",
    percent: bool = False,
    width: int = 860,
    height: int = 330,
    marks: Sequence[Mark] = (),
    cover: Sequence[Point] = (),
    x_names: Mapping[float, str] | None = None,
    thin: bool = False,
) -> str:
    """An SVG of every series against x, zero included, with 95 % bands and a mark at x[best].

    Points are joined in the given order, so a path that turns back in x stays one path. percent: the values are
    fractions, drawn on 0 to 100 %. Lines are named at their ends if there is more than one and no `marks`; with marks,
    the labels of those name them. The axes include every point of `cover`, so that several charts can have the same axes.
    x_names: the ticks of the x axis, in place of numbers. description: the text for screen readers; the numbers if it is
    empty.
    """
    tables = [points_of(s, x if s.x is None else s.x) for s in series]
    description = description or " ".join(
        [*map(chart_series.in_words, series, tables), *map(chart_mark.in_words, marks)]
    )
    drawn = [p for points in tables for p in points if p is not None] + [(m.x, m.y) for m in marks]
    if not drawn:
        return _frame(title, description, width, 60, [_text("Nothing was measured.", 0, 34)])
    spread = [y + sign * e for points, s in zip(tables, series, strict=True) for (_, y), e in banded(points, s)
              for sign in (-NINETY_FIVE, NINETY_FIVE)]  # fmt: skip
    drawn += cover
    heights = [y for _, y in drawn] + spread + [m.y + sign * (m.half or 0) for m in marks for sign in (-1, 1)] + [0.0]
    y_ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if percent else ticks(min(heights), max(heights))
    whole = all(px == int(px) for px, _ in drawn)
    across = [px for px, _ in drawn]
    x_ticks = list(x_names or ticks(min(across), max(across), about=6 if width > 500 else 4, whole=whole))

    y_names = tick_names(y_ticks, percent)
    below = list(x_names.values()) if x_names else tick_names(x_ticks, False)
    named = [s.name for s in series] if len(series) > 1 and not marks else []
    left = 10 + LETTER * max(map(len, y_names))
    right = width - (16 + LETTER * max(map(len, named)) if named else LETTER * len(below[-1]) / 2 + 4)
    top, bottom = (52.0 if best is not None else 30.0), height - 46.0

    def place(point: Point) -> Point:
        px = left + (point[0] - x_ticks[0]) / (x_ticks[-1] - x_ticks[0]) * (right - left)
        py = bottom - (point[1] - y_ticks[0]) / (y_ticks[-1] - y_ticks[0]) * (bottom - top)
        # Fractions lie in 0..1 whatever their intervals say; rounding must not push a mark out of the plot.
        return min(max(px, left), right), min(max(py, top), bottom)

    area = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
    parts = [f'<rect class="plot" {area}/>', _text(y_label, 0, 14)]
    parts.append(_text(x_label, (left + right) / 2, height - 6, "middle"))
    for value, name in zip(y_ticks, y_names, strict=True):
        y = place((x_ticks[0], value))[1]
        parts.append(f'<line class="{"grid" if value else "zero"}" x1="{left:.1f}" x2="{right:.1f}" '
                     f'y1="{y:.1f}" y2="{y:.1f}"/>')  # fmt: skip
        parts.append(_text(name, left - 8, y + 4.5, "end"))
    for value, name in zip(x_ticks, below, strict=True):
        parts.append(_text(name, place((value, 0))[0], bottom + 20, "middle"))
    if best is not None and (at := number(x[best])) is not None:
        px = place((at, 0))[0]
        parts.append(f'<line class="best" x1="{px:.1f}" x2="{px:.1f}" y1="{top - 8:.1f}" y2="{bottom:.1f}"/>')
        half = LETTER * len(best_label) / 2
        parts.append(_text(best_label, min(max(px, half), width - half), top - 14, "middle"))
    for points, s in zip(tables, series, strict=True):
        parts += chart_series.drawn(points, s, place, best, x_label, percent, thin=thin)
    if named:
        ends = [place(max((p for p in points if p), key=lambda p: p[0], default=(0, 0)))[1] for points in tables]
        kept = [i for i, points in enumerate(tables) if any(points)]
        for i, y in zip(kept, apart([ends[i] for i in kept], top, bottom), strict=True):
            parts.append(
                _text(series[i].name, right + 10, y + 4.5, classes=f"name {css_class(series[i].kind, series[i].tone)}")
            )
    for mark in marks:
        parts += chart_mark.drawn(mark, place, x_label)
    paths = [p for points in tables for run in runs(points) for p in along([place(points[i] or (0, 0)) for i in run])]
    paths += [p for m in marks for p in along([place((m.x, m.y + sign * (m.half or 0))) for sign in (-1, 1)])]
    parts += labelled([(m.label, place((m.x, m.y)), css_class(m.kind, m.tone)) for m in marks if m.label],
                      [place((m.x, m.y)) for m in marks], paths, (left, top - 10, width, bottom))  # fmt: skip
    return _frame(title, description, width, height, parts)


def alone(svg: str) -> str:
    """A chart as a file of its own, with its size and style."""
    size = re.sub(r'viewBox="0 0 (\d+) (\d+)"', r'width="\1" height="\2" \g<0>', str(svg), count=1)
    head, tail = size.split(">", 1)
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{head}><style>{STYLE}{TONE_STYLE}</style>{tail}"


def _text(text: str, x: float, y: float, anchor: str = "start", classes: str = "") -> str:
    return f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _frame(title: str, description: str, width: int, height: int, parts: Sequence[str]) -> str:
    name = f"{re.sub('[^a-z0-9]+', '-', title.lower()).strip('-')}-{width}"
    head = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="{name}-title" aria-describedby="{name}-desc">{head}{"".join(parts)}</svg>'
    )
