"""A mark of a chart: a single point with its interval, and its SVG."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from trueward.reporting.chart_path import Number, Placer, number
from trueward.reporting.chart_style import Kind, css_class, shape


@dataclass(frozen=True)
class Mark:
    """A single point with half of its 95 % interval; `label` is written beside it."""

    name: str
    x: float
    y: float
    half: Number = None
    kind: Kind = "truth"
    tone: int | None = None
    ring: bool = False
    label: str = ""


def in_words(mark: Mark) -> str:
    """For screen readers: its value, interval and position."""
    half = f", give or take {mark.half:.2g}," if mark.half else ""
    return f"{mark.name}: {mark.kind} {mark.y:.3g}{half} at {mark.x:.3g}."


def drawn(mark: Mark, place: Placer, x_label: str) -> list[str]:
    """SVG elements: the interval below the mark, and a ring around it."""
    px, py = place((mark.x, mark.y))
    classes, parts = css_class(mark.kind, mark.tone), []
    if half := number(mark.half):
        ends = [place((mark.x, mark.y + sign * half))[1] for sign in (1, -1)]
        parts.append(f'<path class="bar {classes}" d="M{px:.1f} {ends[0]:.1f}V{ends[1]:.1f}'
                     + "".join(f"M{px - 4:.1f} {y:.1f}h8" for y in ends) + '"/>')  # fmt: skip
    interval = f" ± {half:.2g}" if half else ""
    tip = escape(f"{mark.name}: {mark.kind} {mark.y:.3g}{interval} at {x_label} {mark.x:.3g}")
    size = 0.7 if mark.ring else 1
    parts.append(f'<path class="mark {classes}" transform="translate({px:.1f} {py:.1f}) scale({size})" '
                 f'd="{shape(mark.tone or 0)}"><title>{tip}</title></path>')  # fmt: skip
    if mark.ring:
        parts.append(f'<circle class="ring {classes}" cx="{px:.1f}" cy="{py:.1f}" r="8"/>')
    return parts
