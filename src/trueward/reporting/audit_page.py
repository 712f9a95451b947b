"""An audit as one self-contained HTML page."""

from __future__ import annotations

from typing import Any

from markupsafe import Markup

from trueward.evaluation.printable import printable
from trueward.reporting import audit_text, verdict_text
from trueward.reporting.chart_series import Series
from trueward.reporting.chart_style import STYLE, Kind
from trueward.reporting.charts import line_chart
from trueward.reporting.report_text import hacked_line
from trueward.reporting.template import template

Row = dict[str, Any]
ABOVE = "SDs above the reference"


def page(table: Row) -> str:
    """An HTML page that needs no network and runs no scripts; all text from the audit is escaped."""
    table = printable(table)
    verdict = table.get("verdict") or {}
    word = str(verdict.get("word"))
    return template("audit.html.jinja").render(
        audit=table,
        tone=verdict_text.TONE.get(word, "unsure"),
        meaning=verdict_text.MEANING.get(word, "") if word in ("learning", "hacking", "over-optimised") else "",
        facts=[
            (name.replace("SFT", "the reference"), text)
            for name, text in verdict_text.facts(verdict.get("numbers") or {})
        ],
        best=audit_text.best_line(table),
        hacked=hacked_line(table),
        plots=plots(table),
        rows=audit_text.looks(table),
        policies=[(key, audit_text.name_of(table, key)) for key in audit_text.NAMES if table["policies"].get(key)],
        others=table["truths"][1:],
        chart_style=Markup(STYLE),  # noqa: S704 (our own constant)
    )


def plots(table: Row) -> dict[str, list[Markup]]:
    """SVG by name, a wide one and one for phones; empty where nothing was measured."""
    rows = audit_text.looks(table)
    steps = [row["step"] for row in rows]
    best = next((i for i, step in enumerate(steps) if i and step == table.get("best_step")), None)

    def series(name: str, key: str, kind: Kind = "truth") -> Series:
        return Series(name, [row.get(key) for row in rows], [row.get(f"{key}_se") for row in rows], kind)

    def plot(title: str, y_label: str, *lines: Series, wide: bool = False) -> list[Markup]:
        if not any(value is not None for line in lines for value in line.values):
            return []
        sizes = [(880, 340), (400, 310)] if wide else [(400, 290)]
        drawn = [
            line_chart(
                title, "training step", y_label, lines, x=steps, best=best,
                best_label=f"best: step {table.get('best_step')}", width=width, height=height,
            )
            for width, height in sizes
        ]  # fmt: skip
        return [Markup(svg) for svg in drawn]  # noqa: S704 (it escapes what it is given)

    return {
        "steps": plot(
            "Proxy and truth by step", ABOVE, series("truth", "truth"), series("proxy", "proxy", "proxy"), wide=True
        ),
        "kl": plot("Distance from the reference by step", "KL, nats", series("KL", "kl")),
        "length": plot("Answer length by step", str(table.get("length_unit")), series("length", "length")),
    }
