"""The alignment tax: what a policy has lost on the suites that guard it, as a table, a chart by steps, and sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from trueward.evaluation.guard_test import fallen, rows_by_guard
from trueward.reporting.chart_series import Series
from trueward.reporting.charts import line_chart
from trueward.reporting.formatting import plain

Row = dict[str, Any]
SHAPES = ((880, 300), (400, 290))


@dataclass(frozen=True)
class GuardLine:
    """A guard's last result beside SFT's, how often it was looked at, and whether it fell."""

    name: str
    step: int
    last: Row
    looks: int
    unmeasured: int
    fell: bool
    failure: str


@dataclass(frozen=True)
class GuardsPanel:
    """The table and the charts of all guards; empty where there are none."""

    lines: list[GuardLine]
    charts: list[Markup]


def panel(report: Row) -> GuardsPanel:
    """The panel of a report's `history`."""
    evaluations = _evaluations(report)
    guards, fell = rows_by_guard(evaluations), fallen(evaluations)
    lines = []
    for name, rows in guards.items():
        measured = [row for row in rows if row.get("gain") is not None]
        last = measured[-1] if measured else rows[-1]
        failure = next((str(row["failure"]) for row in reversed(rows) if row.get("failure")), "")
        lines.append(GuardLine(name, last["step"], last, len(rows), len(rows) - len(measured), name in fell, failure))
    return GuardsPanel(lines, _charts(guards))


def sentences(report: Row) -> list[str]:
    """A line for each guard that fell, and one for each that was not measured at some of its looks."""
    lines = []
    for line in panel(report).lines:
        if line.fell:
            lines.append(
                f"The guard {line.name} fell: {plain(line.last.get('policy'), 3)} at step {line.step}, "
                f"SFT’s {plain(line.last.get('sft'), 3)}."
            )
        if line.unmeasured:
            why = f" ({line.failure})" if line.failure else ""
            lines.append(f"The guard {line.name} was not measured at {line.unmeasured} of its {line.looks} looks{why}.")
    return lines


def _charts(guards: dict[str, list[Row]]) -> list[Markup]:
    """Each guard's mean less SFT's by step, from 0 at step 0; a wide chart, and one for phones."""
    steps = sorted({0, *(row["step"] for rows in guards.values() for row in rows)})
    series = []
    for number, (name, rows) in enumerate(guards.items()):
        by_step = {0: {"gain": 0.0, "gain_se": 0.0}} | {row["step"]: row for row in rows}
        values, errors = ([by_step.get(step, {}).get(key) for step in steps] for key in ("gain", "gain_se"))
        series.append(Series(_short(name), values, errors, tone=number if len(guards) > 1 else None))
    if not any(row.get("gain") is not None for rows in guards.values() for row in rows):
        return []
    return [
        Markup(  # noqa: S704 (it escapes what it is given)
            line_chart(
                "Guards by step",
                "training step",
                "mean score less SFT’s",
                series,
                x=steps,
                width=width,
                height=height,
            )
        )
        for width, height in SHAPES
    ]


def _short(name: str) -> str:
    """A guard's name without its options, for the end of a line."""
    return name.partition(",")[0]


def _evaluations(report: Row) -> list[Row]:
    """The rows of the evaluations after step 0."""
    return [row for row in report.get("history") or [] if isinstance(row, dict) and row.get("step")]
