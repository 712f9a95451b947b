"""Line charts as SVG text, for HTML pages that carry `STYLE`. No libraries, no scripts, no network."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import accumulate, pairwise
from typing import Literal

from trueward.instruments.labels import labelled

Number = float | None
Point = tuple[float, float]
Placer = Callable[[Point], Point]

# Blue and orange stay apart for every common kind of colour blindness, and the proxy is also dashed and hollow, so
# that nothing hangs on colour alone. Both pass 4.5:1 as text on their theme's background.
STYLE = """
:root{--truth:#0b65a3;--proxy:#b54708;--chart-ink:#4b5560;--chart-rule:#e3e6ea;--chart-paper:#fff}
@media screen and (prefers-color-scheme:dark){
:root{--truth:#6cb6ff;--proxy:#f2a65a;--chart-ink:#a8b1bb;--chart-rule:#2b3138;--chart-paper:#14171a}}
.chart{display:block;width:100%;height:auto;font:13px system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.chart text{fill:var(--chart-ink);font-variant-numeric:tabular-nums}
.chart .plot{fill:none}
.chart .grid{stroke:var(--chart-rule)}
.chart .zero{stroke:var(--chart-ink);stroke-opacity:.7}
.chart .best{stroke:var(--chart-ink);stroke-dasharray:2 4}
.chart .truth{color:var(--truth)}
.chart .proxy{color:var(--proxy)}
.chart .mark{fill:currentColor;stroke:currentColor;stroke-width:2;stroke-linejoin:round}
.chart .mark.proxy{fill:var(--chart-paper)}
.chart .bar{stroke:currentColor;stroke-width:1.5;stroke-opacity:.75}
.chart .lead{stroke:currentColor;stroke-opacity:.5}
.chart .line{fill:none;stroke:currentColor;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}
.chart .line.proxy{stroke-dasharray:7 5}
.chart .band{fill:currentColor;fill-opacity:.13}
.chart .dot{fill:currentColor;stroke:currentColor;stroke-width:1.5}
.chart .dot.proxy{fill:var(--chart-paper)}
.chart .line.thin{stroke-width:1.4;stroke-opacity:.6}
.chart .line.thin.proxy{stroke-dasharray:5 4}
.chart .dot.thin{fill-opacity:.7;stroke-opacity:.7;stroke-width:1}
.chart .ring{fill:none;stroke:currentColor;stroke-width:2}
.chart text.name{fill:currentColor;font-weight:600;paint-order:stroke;stroke:var(--chart-paper);stroke-width:3px;
stroke-linejoin:round}
"""

# For what is one of several, the first for what the others are set against. No eye tells eight colours apart, so there
# are names beside the marks, and four shapes.
TONES = (
    ("#3f4954", "#c6ced6"),
    ("#0b65a3", "#6cb6ff"),
    ("#b54708", "#f2a65a"),
    ("#00745a", "#4fd1a5"),
    ("#9a3a8c", "#e8a9e6"),
    ("#75600a", "#e3cf63"),
    ("#0a6f80", "#62d3e3"),
    ("#bd2453", "#f2587f"),
)
TONE_STYLE = (
    "".join(f".chart .tone-{i}{{color:{light}}}" for i, (light, _) in enumerate(TONES))
    + "@media screen and (prefers-color-scheme:dark){"
    + "".join(f".chart .tone-{i}{{color:{dark}}}" for i, (_, dark) in enumerate(TONES))
    + "}\n"
)
SHAPES = (
    "M-5 0A5 5 0 1 1 5 0A5 5 0 1 1-5 0Z",
    "M-4.5-4.5H4.5V4.5H-4.5Z",
    "M0-6.4L6.4 0L0 6.4L-6.4 0Z",
    "M0-6L5.8 4.6H-5.8Z",
)

LETTER = 7.3  # width of a digit at 13 px, on the generous side: margins are made from it
LINE = 17.0  # least distance between two labels' baselines
NINETY_FIVE = 1.96  # standard errors on either side of an estimate
MANY = 80  # from here on dots would run into each other


@dataclass(frozen=True)
class Series:
    """One line: a value for each x (None or NaN leaves a gap), with its standard errors where there are any."""

    name: str
    values: Sequence[Number]
    errors: Sequence[Number] = ()
    look: Literal["truth", "proxy"] = "truth"
    x: Sequence[Number] | None = None
    """Its own places, where they aren't the chart's."""
    tone: int | None = None
    """Its colour as one of several, in place of that of its look."""


@dataclass(frozen=True)
class Mark:
    """A point of its own, with half of its 95 % interval; `label` is written beside it."""

    name: str
    x: float
    y: float
    half: Number = None
    look: Literal["truth", "proxy"] = "truth"
    tone: int | None = None
    ring: bool = False
    label: str = ""


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

    Points are joined in the order given, so a path that turns back in x stays one path. With `percent` the values are
    fractions, drawn on 0 to 100 %. Lines are named at their ends when there is more than one and no `marks`; with marks
    it is their labels that name them. The axes reach to every point of `cover`, so that several charts can
    have the same ones; `x_names` are the x axis's ticks, where they aren't its numbers. `description` is what is read
    aloud; without one, the numbers are.
    """
    tables = [_points(s, x if s.x is None else s.x) for s in series]
    description = description or " ".join([*map(_in_words, series, tables), *map(_mark_in_words, marks)])
    seen = [p for points in tables for p in points if p is not None] + [(m.x, m.y) for m in marks]
    if not seen:
        return _frame(title, description, width, 60, [_text("Nothing was measured.", 0, 34)])
    spread = [y + sign * e for points, s in zip(tables, series, strict=True) for (_, y), e in _banded(points, s)
              for sign in (-NINETY_FIVE, NINETY_FIVE)]  # fmt: skip
    seen += cover
    heights = [y for _, y in seen] + spread + [m.y + sign * (m.half or 0) for m in marks for sign in (-1, 1)] + [0.0]
    y_ticks = [0.0, 0.25, 0.5, 0.75, 1.0] if percent else ticks(min(heights), max(heights))
    whole = all(px == int(px) for px, _ in seen)
    across = [px for px, _ in seen]
    x_ticks = list(x_names or ticks(min(across), max(across), about=6 if width > 500 else 4, whole=whole))

    y_names = _tick_names(y_ticks, percent)
    below = list(x_names.values()) if x_names else _tick_names(x_ticks, False)
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
    if best is not None and (at := _number(x[best])) is not None:
        px = place((at, 0))[0]
        parts.append(f'<line class="best" x1="{px:.1f}" x2="{px:.1f}" y1="{top - 8:.1f}" y2="{bottom:.1f}"/>')
        half = LETTER * len(best_label) / 2
        parts.append(_text(best_label, min(max(px, half), width - half), top - 14, "middle"))
    for points, s in zip(tables, series, strict=True):
        parts += _drawn(points, s, place, best, x_label, percent, thin=thin)
    if named:
        ends = [place(max((p for p in points if p), key=lambda p: p[0], default=(0, 0)))[1] for points in tables]
        kept = [i for i, points in enumerate(tables) if any(points)]
        for i, y in zip(kept, apart([ends[i] for i in kept], top, bottom), strict=True):
            parts.append(_text(series[i].name, right + 10, y + 4.5, look=f"name {_look(series[i])}"))
    for mark in marks:
        parts += _marked(mark, place, x_label)
    paths = [p for points in tables for run in _runs(points) for p in _along([place(points[i] or (0, 0)) for i in run])]
    paths += [p for m in marks for p in _along([place((m.x, m.y + sign * (m.half or 0))) for sign in (-1, 1)])]
    parts += labelled([(m.label, place((m.x, m.y)), _look(m)) for m in marks if m.label],
                      [place((m.x, m.y)) for m in marks], paths, (left, top - 10, width, bottom))  # fmt: skip
    return _frame(title, description, width, height, parts)


def ticks(low: float, high: float, *, about: int = 5, whole: bool = False) -> list[float]:
    """Round, evenly spaced, rising numbers that cover low to high; `whole` keeps them to whole numbers."""
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-3):  # one value: give it room on both sides
        room = max(abs(low) * 0.1, 1.0 if whole or not low else 1e-9)
        low, high = low - room, high + room
    power = 10.0 ** math.floor(math.log10((high - low) / about))
    steps = [m * power for m in (1, 2, 2.5, 5, 10, 20)]
    if whole:
        steps = [s for s in steps if s >= 1 and s == int(s)] or [1.0]

    def covering(step: float) -> list[float]:
        # Rounding keeps 0.3 / 0.1 = 2.9999999999999996 from costing an extra tick.
        first, last = math.floor(round(low / step, 9)), math.ceil(round(high / step, 9))
        return [float(f"{i * step:.12g}") for i in range(first, max(last, first + 1) + 1)]

    def badness(values: list[float]) -> float:
        wasted = (values[-1] - values[0]) / (high - low) - 1
        return 2 * wasted + 0.25 * abs(len(values) - 1 - about)

    return min(map(covering, steps), key=badness)


def apart(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """The labels' heights, moved as little as keeps them `LINE` apart and, as far as they fit, inside."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    asked = [heights[i] for i in order]

    def downward(ys: Sequence[float], start: float) -> list[float]:
        return list(accumulate(ys, lambda above, y: max(y, above + LINE), initial=start - LINE))[1:]

    def upward(ys: Sequence[float], start: float) -> list[float]:
        return [-y for y in downward([-y for y in reversed(ys)], -start)][::-1]

    # Halfway between giving way downward and upward, both keep their distance; then into the plot from either edge.
    halfway = [(d + u) / 2 for d, u in zip(downward(asked, -math.inf), upward(asked, math.inf), strict=True)]
    placed = dict(zip(order, upward(downward(halfway, top), bottom), strict=True))
    return [placed[i] for i in range(len(heights))]


def _number(value: Number) -> Number:
    return value if value is not None and math.isfinite(value) and abs(value) < 1e100 else None


def _points(series: Series, x: Sequence[Number]) -> list[Point | None]:
    if len(series.values) != len(x):
        raise ValueError(f"{series.name}: {len(series.values)} values for {len(x)} places on the x axis")
    pairs = [(_number(px), _number(py)) for px, py in zip(x, series.values, strict=True)]
    return [None if px is None or py is None else (px, py) for px, py in pairs]


def _in_words(series: Series, points: Sequence[Point | None]) -> str:
    """For those who hear the plot: where the line starts, peaks and ends."""
    seen = [p for p in points if p is not None]
    if not seen:
        return f"{series.name}: not measured."
    peak = max(seen, key=lambda p: p[1])
    start, top, end = (f"{y:.3g} at {px:.4g}" for px, y in (seen[0], peak, seen[-1]))
    return f"{series.name}: starts with {start}, is highest with {top}, ends with {end}."


def _banded(points: Sequence[Point | None], series: Series) -> list[tuple[Point, float]]:
    errors = [_number(e) for e in series.errors]
    return [(p, e) for p, e in zip(points, errors, strict=False) if p is not None and e is not None]


def _drawn(
    points: list[Point | None],
    series: Series,
    place: Placer,
    best: int | None,
    x_label: str,
    percent: bool,
    thin: bool = False,
) -> list[str]:
    """Bands under lines under dots."""
    parts = []
    look = _look(series) + (" thin" if thin else "")
    errors = [_number(e) for e in series.errors] or [None] * len(points)
    for run in _runs([None if e is None else p for p, e in zip(points, errors, strict=True)]):
        rim = [((points[i] or (0, 0)), NINETY_FIVE * (errors[i] or 0)) for i in run]
        edge = [place((px, py + e)) for (px, py), e in rim] + [place((px, py - e)) for (px, py), e in reversed(rim)]
        parts.append(f'<path class="band {look}" d="{_path(edge)}Z"/>')
    for run in _runs(points):
        parts.append(f'<path class="line {look}" d="{_path([place(points[i] or (0, 0)) for i in run])}"/>')
    shown = sum(p is not None for p in points) < MANY
    for i, point in enumerate(points):
        if point is None:
            continue
        px, py = place(point)
        alone = not any(points[max(i - 1, 0) : i]) and not any(points[i + 1 : i + 2])
        if shown or alone:
            value = f"{100 * point[1]:.1f} %" if percent else f"{point[1]:.3g}"
            tip = escape(f"{series.name} {value} at {x_label} {point[0]:.4g}")
            parts.append(f'<circle class="dot {look}" cx="{px:.1f}" cy="{py:.1f}" r="{1.8 if thin else 2.6}">'
                         f"<title>{tip}</title></circle>")  # fmt: skip
        if i == best:
            parts.append(f'<circle class="ring {look}" cx="{px:.1f}" cy="{py:.1f}" r="6.5"/>')
    return parts


def _marked(mark: Mark, place: Placer, x_label: str) -> list[str]:
    """The interval under the mark, and a ring around it."""
    px, py = place((mark.x, mark.y))
    look, parts = _look(mark), []
    if half := _number(mark.half):
        ends = [place((mark.x, mark.y + sign * half))[1] for sign in (1, -1)]
        parts.append(f'<path class="bar {look}" d="M{px:.1f} {ends[0]:.1f}V{ends[1]:.1f}'
                     + "".join(f"M{px - 4:.1f} {y:.1f}h8" for y in ends) + '"/>')  # fmt: skip
    said = f" ± {half:.2g}" if half else ""
    tip = escape(f"{mark.name}: {mark.look} {mark.y:.3g}{said} at {x_label} {mark.x:.3g}")
    size = 0.7 if mark.ring else 1
    parts.append(f'<path class="mark {look}" transform="translate({px:.1f} {py:.1f}) scale({size})" '
                 f'd="{shape(mark.tone or 0)}"><title>{tip}</title></path>')  # fmt: skip
    if mark.ring:
        parts.append(f'<circle class="ring {look}" cx="{px:.1f}" cy="{py:.1f}" r="8"/>')
    return parts


def alone(svg: str) -> str:
    """A chart as a file of its own, which brings its size and its style along."""
    size = re.sub(r'viewBox="0 0 (\d+) (\d+)"', r'width="\1" height="\2" \g<0>', str(svg), count=1)
    head, tail = size.split(">", 1)
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return f"{head}><style>{STYLE}{TONE_STYLE}</style>{tail}"


def shape(tone: int) -> str:
    """The path of a mark: neighbours differ in shape as well as in colour, and colours come back with another shape."""
    return SHAPES[(tone + tone // len(TONES)) % len(SHAPES)]


def _look(of: Series | Mark) -> str:
    return of.look if of.tone is None else f"{of.look} tone-{of.tone % len(TONES)}"


def _mark_in_words(mark: Mark) -> str:
    half = f", give or take {mark.half:.2g}," if mark.half else ""
    return f"{mark.name}: {mark.look} {mark.y:.3g}{half} at {mark.x:.3g}."


def _runs(points: Sequence[Point | None]) -> list[list[int]]:
    """Indices of the stretches without a gap."""
    runs: list[list[int]] = [[]]
    for i, point in enumerate(points):
        if point is not None:
            runs[-1].append(i)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _along(points: Sequence[Point]) -> list[Point]:
    """Points on the way, a few pixels apart."""
    out = list(points)
    for (ax, ay), (bx, by) in pairwise(points):
        count = int(math.hypot(bx - ax, by - ay) / 6)
        out += [(ax + (bx - ax) * i / (count + 1), ay + (by - ay) * i / (count + 1)) for i in range(1, count + 1)]
    return out


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in points)


def _tick_names(values: Sequence[float], percent: bool) -> list[str]:
    step = values[1] - values[0]
    digits = next((d for d in range(10) if math.isclose(round(step, d), step, rel_tol=1e-6)), 10)
    names = [f"{100 * v:.0f} %" if percent else f"{v:.3g}" if abs(v) >= 1e6 else f"{v:.{digits}f}" for v in values]
    return [name.replace("-", "−") for name in names]


def _text(text: str, x: float, y: float, anchor: str = "start", look: str = "") -> str:
    return f'<text class="{look}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _frame(title: str, description: str, width: int, height: int, parts: Sequence[str]) -> str:
    name = f"{re.sub('[^a-z0-9]+', '-', title.lower()).strip('-')}-{width}"
    head = f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(description)}</desc>'
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" '
        f'aria-labelledby="{name}-title" aria-describedby="{name}-desc">{head}{"".join(parts)}</svg>'
    )
