"""A line of a chart: its values, and its SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from trueward.reporting.chart_path import Number, Placer, Point, number, path, runs
from trueward.reporting.chart_style import Kind, css_class

NINETY_FIVE = 1.96  # standard errors on either side of an estimate
MANY = 80  # points from which on dots would overlap


@dataclass(frozen=True)
class Series:
    """One line: a value for each x (None or NaN leaves a gap), with its standard errors where there are any."""

    name: str
    values: Sequence[Number]
    errors: Sequence[Number] = ()
    kind: Kind = "truth"
    x: Sequence[Number] | None = None
    """Its own x values, if they are not those of the chart."""
    tone: int | None = None
    """Its colour as one of several, in place of that of its kind."""


def points_of(series: Series, x: Sequence[Number]) -> list[Point | None]:
    """Its points in data units, None in a gap. `ValueError` if the numbers of values and of places x differ."""
    if len(series.values) != len(x):
        raise ValueError(f"{series.name}: {len(series.values)} values for {len(x)} places on the x axis")
    pairs = [(number(px), number(py)) for px, py in zip(x, series.values, strict=True)]
    return [None if px is None or py is None else (px, py) for px, py in pairs]


def in_words(series: Series, points: Sequence[Point | None]) -> str:
    """For screen readers: where the line starts, peaks and ends."""
    seen = [p for p in points if p is not None]
    if not seen:
        return f"{series.name}: not measured."
    peak = max(seen, key=lambda p: p[1])
    start, top, end = (f"{y:.3g} at {px:.4g}" for px, y in (seen[0], peak, seen[-1]))
    return f"{series.name}: starts with {start}, is highest with {top}, ends with {end}."


def banded(points: Sequence[Point | None], series: Series) -> list[tuple[Point, float]]:
    """Its points that have a standard error, each with it."""
    errors = [number(e) for e in series.errors]
    return [(p, e) for p, e in zip(points, errors, strict=False) if p is not None and e is not None]


def drawn(
    points: list[Point | None],
    series: Series,
    place: Placer,
    best: int | None,
    x_label: str,
    percent: bool,
    thin: bool = False,
) -> list[str]:
    """SVG elements: bands below lines below dots.

    best: index of the point to mark. percent: values are fractions. thin: a thin line without dots.
    """
    parts = []
    classes = css_class(series.kind, series.tone) + (" thin" if thin else "")
    errors = [number(e) for e in series.errors] or [None] * len(points)
    for run in runs([None if e is None else p for p, e in zip(points, errors, strict=True)]):
        rim = [((points[i] or (0, 0)), NINETY_FIVE * (errors[i] or 0)) for i in run]
        edge = [place((px, py + e)) for (px, py), e in rim] + [place((px, py - e)) for (px, py), e in reversed(rim)]
        parts.append(f'<path class="band {classes}" d="{path(edge)}Z"/>')
    for run in runs(points):
        parts.append(f'<path class="line {classes}" d="{path([place(points[i] or (0, 0)) for i in run])}"/>')
    has_dots = sum(p is not None for p in points) < MANY
    for i, point in enumerate(points):
        if point is None:
            continue
        px, py = place(point)
        alone = not any(points[max(i - 1, 0) : i]) and not any(points[i + 1 : i + 2])
        if has_dots or alone:
            value = f"{100 * point[1]:.1f} %" if percent else f"{point[1]:.3g}"
            tip = escape(f"{series.name} {value} at {x_label} {point[0]:.4g}")
            parts.append(f'<circle class="dot {classes}" cx="{px:.1f}" cy="{py:.1f}" r="{1.8 if thin else 2.6}">'
                         f"<title>{tip}</title></circle>")  # fmt: skip
        if i == best:
            parts.append(f'<circle class="ring {classes}" cx="{px:.1f}" cy="{py:.1f}" r="6.5"/>')
    return parts
