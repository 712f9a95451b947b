"""Labels of a chart's lines and marks, placed so that none hides another."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from itertools import accumulate

from trueward.reporting.chart_path import Point

Box = tuple[float, float, float, float]  # left, top, right, bottom
LETTER = 7.4  # mean width of a semibold letter at 13 px, rounded up
LINE = 17.0  # least distance between two labels' baselines
UP, DOWN = 10.5, 4.0  # a line of text above and below its baseline
NEAR = 16.0  # pixels; beyond it a line connects the mark with its name
DISTANCES = (11.0, 18.0, 27.0, 38.0, 52.0, 70.0, 92.0)
DIRECTIONS = tuple(
    (math.cos(a * math.pi / 8), -math.sin(a * math.pi / 8)) for a in (0, 2, -2, 8, 6, -6, 4, -4, 1, -1, 7, -7)
)


def labelled(
    names: Sequence[tuple[str, Point, str]], marks: Sequence[Point], paths: Sequence[Point], inside: Box
) -> list[str]:
    """SVG of each name (text, its mark, classes), placed where it covers no other name, no mark, and few points of the paths.

    inside: the box of the plot. All positions in pixels.
    """
    parts: list[str] = []
    taken: list[Box] = []
    for text, (x, y), classes in sorted(names, key=lambda name: name[1][1]):
        width = LETTER * len(text)

        def cost(box: Box, far: float) -> float:
            over = sum(500 for other in taken if _overlap(box, other))
            over += sum(60 for px, py in marks if _within(box, px, py, 7))
            over += sum(4 for px, py in paths if _within(box, px, py, 2))
            out = max(0, inside[0] - box[0]) + max(0, box[2] - inside[2])
            out += max(0, inside[1] - box[1]) + max(0, box[3] - inside[3])
            return over + 100 * out + 0.4 * far

        spots = [_spot(x, y, width, far, way) for far in DISTANCES for way in DIRECTIONS]
        far, box = min(spots, key=lambda spot: cost(spot[1], spot[0]))
        taken.append(box)
        if far > NEAR:
            end = min(max(x, box[0]), box[2]), min(max(y, box[1] + 2), box[3] - 1)
            parts.append(
                f'<line class="lead {classes}" x1="{x:.1f}" y1="{y:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}"/>'
            )
        parts.append(f'<text class="name {classes}" x="{box[0]:.1f}" y="{box[3] - DOWN:.1f}">{escape(text)}</text>')
    return parts


def _spot(x: float, y: float, width: float, far: float, way: Point) -> tuple[float, Box]:
    """The text's box at a distance from its mark: the text begins, is centred or ends there, depending on the direction."""
    across, down = x + far * way[0], y + far * way[1]
    left = across - width * (0.5 - 0.5 * max(-1.0, min(1.0, 3 * way[0])))
    middle = down + 0.5 * (UP + DOWN) * way[1]
    top = middle - 0.5 * (UP + DOWN)
    return far, (left, top, left + width, top + UP + DOWN)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _within(box: Box, x: float, y: float, room: float) -> bool:
    return box[0] - room < x < box[2] + room and box[1] - room < y < box[3] + room


def apart(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """The labels' heights, moved as little as possible so that they are `LINE` apart and, if they fit, inside."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    wanted = [heights[i] for i in order]

    def downward(ys: Sequence[float], start: float) -> list[float]:
        return list(accumulate(ys, lambda above, y: max(y, above + LINE), initial=start - LINE))[1:]

    def upward(ys: Sequence[float], start: float) -> list[float]:
        return [-y for y in downward([-y for y in reversed(ys)], -start)][::-1]

    # The mean of the solutions that move labels downward and upward keeps the distances; then they are moved into the plot.
    halfway = [(d + u) / 2 for d, u in zip(downward(wanted, -math.inf), upward(wanted, math.inf), strict=True)]
    placed = dict(zip(order, upward(downward(halfway, top), bottom), strict=True))
    return [placed[i] for i in range(len(heights))]
