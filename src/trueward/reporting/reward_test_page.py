"""The test of a reward as an HTML page: shifts, the numbers, what best-of-n finds, everything in sentences."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from trueward.reporting import reward_test_text as words
from trueward.reporting.chart_style import STYLE
from trueward.reporting.shift_chart import ShiftMark, shift_chart
from trueward.reporting.template import template

Row = dict[str, Any]


def page(table: Row) -> str:
    """An HTML page that needs no network and runs no scripts; all text of answers is escaped."""
    return template("reward_test.html.jinja").render(
        test=table,
        headline=words.headline(table),
        sentences=words.sentences(table),
        plots=[_plot(table, width) for width in (860, 400)],
        unit=words.unit(table),
        outcome=words.outcome,
        groups=words.GROUPS,
        chart_style=Markup(STYLE),  # noqa: S704 (our own constant)
    )


def _plot(table: Row, width: int) -> Markup:
    rows = [
        ShiftMark(r["edit"], r["shift"], r["shift_low"], r["shift_high"], r["outcome"] == "rises")
        for r in table["edits"]
        if r["shift"] is not None
    ]
    svg = shift_chart("Shift of the score by edit", f"shift of the score, {words.unit(table)}", rows, width)
    return Markup(svg)  # noqa: S704 (it escapes what it is given)
