"""Shifts with their intervals, one below the other, as an SVG: left of the line the score falls, right of it it rises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from trueward.reporting.chart_axes import tick_names, ticks

ROW, TOP, BOTTOM = 26, 30, 44
NAMES = 150  # px for the names


@dataclass(frozen=True)
class ShiftMark:
    """A row: its name, its value with both ends of its interval, and whether it stands out."""

    name: str
    value: float
    low: float | None
    high: float | None
    stands_out: bool = False


def shift_chart(title: str, x_label: str, rows: Sequence[ShiftMark], width: int = 860) -> str:
    """An SVG of all rows with one axis, zero included."""
    ends = [v for row in rows for v in (row.value, row.low, row.high) if v is not None]
    axis = ticks(min([0.0, *ends]), max([0.0, *ends]), about=6 if width > 500 else 4)
    height, left, right = TOP + ROW * len(rows) + BOTTOM, NAMES + 12.0, width - 16.0

    def place(value: float) -> float:
        return left + (value - axis[0]) / (axis[-1] - axis[0]) * (right - left)

    bottom = TOP + ROW * len(rows)
    parts = []
    for value, name in zip(axis, tick_names(axis, percent=False), strict=True):
        kind, x = ("grid" if value else "zero"), place(value)
        parts.append(f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{bottom}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{escape(name)}</text>')
    parts.append(f'<text x="{(left + right) / 2:.1f}" y="{height - 6}" text-anchor="middle">{escape(x_label)}</text>')
    for i, row in enumerate(rows):
        y, kind = TOP + ROW * i + ROW / 2, "proxy" if row.stands_out else "truth"
        parts.append(f'<text x="{NAMES}" y="{y + 4.5:.1f}" text-anchor="end">{escape(row.name)}</text>')
        if row.low is not None and row.high is not None:
            a, b = place(row.low), place(row.high)
            parts.append(
                f'<path class="bar {kind}" d="M{a:.1f} {y:.1f}H{b:.1f}M{a:.1f} {y - 4:.1f}v8M{b:.1f} {y - 4:.1f}v8"/>'
            )
        tip = escape(f"{row.name}: {row.value:+.3g}")
        parts.append(
            f'<circle class="mark {kind}" cx="{place(row.value):.1f}" cy="{y:.1f}" r="4.5"><title>{tip}</title></circle>'
        )
    described = escape(" ".join(f"{row.name}: {row.value:+.2f}." for row in rows))
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-labelledby="shifts-{width} shifts-{width}-text">'
        f'<title id="shifts-{width}">{escape(title)}</title><desc id="shifts-{width}-text">{described}</desc>'
        f"{''.join(parts)}</svg>"
    )
