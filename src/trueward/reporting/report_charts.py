"""The charts of a report, as SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from markupsafe import Markup

from trueward.reporting import report_rows
from trueward.reporting.chart_series import Series
from trueward.reporting.chart_style import KINDS, Kind
from trueward.reporting.charts import line_chart
from trueward.reporting.formatting import count

Report = dict[str, Any]


def plots(report: Report) -> dict[str, list[Markup]]:
    """SVG by name: one for all widths, or a wide one and one for phones; empty where nothing was measured."""
    history, above = report_rows.history(report), "SDs above the SFT policy"
    steps, roots = [row["step"] for row in history], [row["root"] for row in history]
    best = next((i for i, step in enumerate(steps) if step == report.get("best_step")), None)

    def series(name: str, key: str, kind: Kind = "truth") -> Series:
        return Series(name, [row.get(key) for row in history], [row.get(f"{key}_se") for row in history], kind)

    def plot(title: str, x_label: str, y_label: str, *lines: Series, wide: bool = False, share: bool = False,
             x: Sequence[float | None] = steps) -> list[Markup]:  # fmt: skip
        if not any(value is not None for line in lines for value in line.values):
            return []
        return [Markup(line_chart(  # noqa: S704 (it escapes what it is given)
                title, x_label, y_label, lines, x=x, best=best, best_label=f"best: step {report.get('best_step')}",
                percent=share, width=width, height=height,
            ))
            for width, height in ([(880, 340), (400, 310)] if wide else [(400, 290)])]  # fmt: skip

    def by_n(rows: list[Report]) -> list[Markup]:
        places = [math.log2(row["n"]) for row in rows]
        lines = [Series(name, [row.get(name) for row in rows], [row.get(f"{name}_se") for row in rows], name)
                 for name in KINDS]  # fmt: skip
        named = {place: count(row["n"]) for place, row in zip(places, rows, strict=True)}
        return [Markup(line_chart(  # noqa: S704
                "Proxy and truth by answers to choose from", "answers to choose from", above, lines, x=places,
                x_names=named, width=width, height=height,
            ))
            for width, height in ((880, 340), (400, 310))] if len(rows) > 1 else []  # fmt: skip

    both = series("truth", "truth"), series("proxy", "proxy", "proxy")
    by_step = "training step"
    halves: tuple[Series, ...] = ()
    if any(row.get("second_gain") is not None for row in history):
        halves = both[1], replace(series("second", "second_gain"), tone=1)
    return {
        "by_n": by_n(report_rows.best_of_n(report)),
        "second": plot("What a second reward model sees", by_step, above, *halves, wide=True),
        "steps": plot("Proxy and truth by step", by_step, above, *both, wide=True),
        "root": plot("Proxy and truth by distance", "√KL to the SFT policy", above, *both, x=roots),
        "kl": plot("Distance from SFT by step", by_step, "KL to the SFT policy, nats", series("KL", "kl")),
        "length": plot("Answer length by step", by_step, "tokens", series("length", "length")),
        "ended": plot("Answers that ended by step", by_step, "of all answers", series("ended", "eos_rate"), share=True),
    }
