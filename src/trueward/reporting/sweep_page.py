"""A sweep as an HTML page and as a table for the terminal: truth and proxy by value, and by distance from the SFT policy."""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from trueward.evaluation.printable import printable
from trueward.evaluation.statistics import NINETY_FIVE
from trueward.evaluation.sweep import hacked
from trueward.reporting.chart_mark import Mark
from trueward.reporting.chart_series import Series
from trueward.reporting.chart_style import STYLE, TONE_STYLE, TONES, Kind
from trueward.reporting.charts import alone, line_chart
from trueward.reporting.formatting import MISSING, SPACE, percent, plain, signed
from trueward.reporting.template import template

Row = dict[str, Any]
SIDES = {"past": "past the best", "pinned": "held too tightly", "worse": "worse"}


def page(sweep: Row) -> str:
    """An HTML page that needs no network and runs no scripts; all text in it is escaped."""
    sweep = printable(sweep)
    points = ordered(sweep["points"])
    return template("sweep.html.jinja").render(
        sweep=sweep,
        name=named(sweep["over"]),
        points=[{**p, "text": value(p["value"]), "standing": standing(p, sweep)} for p in points],
        headline=sweep["sentence"],
        by_value=[_by_value(sweep, points, width, height) for width, height in ((880, 380), (400, 340))],
        by_root=[_by_root(sweep, points, width, height) for width, height in ((880, 420), (400, 400))],
        forms=_forms(sweep),
        failed=[r for r in sweep["runs"] if r.get("error")],
        runs=[{**r, "text": value(r["value"])} for r in sweep["runs"] if not r.get("error")],
        half=half,
        chart_style=Markup(STYLE + TONE_STYLE),  # noqa: S704 (our own constants)
    )


def picture(sweep: Row, kind: str, narrow: bool = False) -> str:
    """One of the page's two charts as an SVG file. kind: `value` or `distance`. narrow: for phones."""
    sweep = printable(sweep)
    points = ordered(sweep["points"])
    draw, width, height = (_by_value, 880, 380) if kind == "value" else (_by_root, 880, 420)
    return alone(draw(sweep, points, 400 if narrow else width, 380 if narrow else height))


def table(sweep: Row) -> Table:
    """A row for each value, at most 100 columns wide."""
    title = Text(f"{sweep['recipe']} over {sweep['over']}: the last policy on held-out prompts", style="bold")
    caption = "proxy, truth: SDs above SFT; KL: nats; ±: 95 %, from the seeds where there are several"
    out = Table(box=box.SIMPLE_HEAD, title=title, caption=caption, title_justify="left", caption_justify="left")
    out.add_column(named(sweep["over"]))
    for name in ("seeds", "proxy", "truth", "win rate", "KL"):
        out.add_column(name, justify="right", no_wrap=True)
    out.add_column("verdicts")
    out.add_column("")
    for point in ordered(sweep["points"]):
        verdict = standing(point, sweep)
        cells = [
            value(point["value"]),
            str(point["seeds"]),
            f"{signed(point['proxy'])} {half(point['proxy_half'])}",
            f"{signed(point['truth'])} {half(point['truth_half'])}",
            percent(point["win_rate"]),
            plain(point["kl"], 1),
            verdicts(point),
        ]
        cells = [cell.replace(SPACE, " ").strip() for cell in cells]
        out.add_row(*map(Text, cells), Text(verdict, style="bold" if verdict == "best" else ""))
    return out


def ordered(points: list[Row]) -> list[Row]:
    """Points sorted by value if all values are numbers, else in the given order."""
    if all(isinstance(p["value"], int | float) and not isinstance(p["value"], bool) for p in points):
        return sorted(points, key=lambda p: float(p["value"]))
    return points


def standing(point: Row, sweep: Row) -> str:
    """ "best", "as good", or what goes wrong at this value: "hacked" only if its own runs' verdicts say so."""
    advice = sweep.get("advice") or {}
    if not advice or point["value"] == advice["best"]:
        return "best" if advice else ""
    if point["value"] in advice["as_good"]:
        return "as good"
    if hacked(point["verdicts"], point["seeds"]):
        return "hacked"
    if not isinstance(point["value"], int | float) or not isinstance(advice["best"], int | float):
        return "worse"
    side = advice["below"] if point["value"] < advice["best"] else advice["above"]
    best = next((p for p in sweep["points"] if p["value"] == advice["best"]), point)
    if side == "hacking":  # of another value on this side
        far = point["kl"] is not None and best["kl"] is not None and point["kl"] > best["kl"]
        side = "past" if far else "worse"
    return SIDES.get(side, "worse")


def named(key: str) -> str:
    """β for `policy.kl_coef`; else the name of the setting without its section."""
    return "β" if key == "policy.kl_coef" else key.rpartition(".")[2]


def value(swept: Any) -> str:
    """A value of the swept setting, as it is printed."""
    return f"{swept:g}" if isinstance(swept, float) else str(swept)


def verdicts(point: Row) -> str:
    """The verdicts of the value's runs with their counts: "learning (2), hacking"."""
    return ", ".join(f"{word} ({n})" if n > 1 else word for word, n in point["verdicts"].items()) or MISSING


def half(width: float | None) -> str:
    """± half a 95 % interval; empty if it isn't known."""
    return "" if width is None or math.isnan(width) else f"±{SPACE}{width:.2f}"


def _by_value(sweep: Row, points: list[Row], width: int, height: int) -> Markup:
    """The chart by value. Values are at equal distances, so that 0 and 3 fit on one axis without a logarithm."""
    places = list(range(len(points)))
    names = {float(i): value(p["value"]) for i, p in zip(places, points, strict=True)}
    if len(points) == 1:
        names[1.0] = ""  # a single value: the axis still needs two ends
    best = (sweep.get("advice") or {}).get("best")
    top = next((i for i, p in enumerate(points) if p["value"] == best), None)

    def series(key: Kind) -> Series:
        errors = [p[f"{key}_half"] / NINETY_FIVE if p[f"{key}_half"] is not None else None for p in points]
        return Series(key, [p[key] for p in points], errors, key)

    return Markup(line_chart(  # noqa: S704 (it escapes what it is given)
        f"Truth and proxy by {named(sweep['over'])}", named(sweep["over"]), "SDs above the SFT policy",
        [series("truth"), series("proxy")],
        x=places, x_names=names, best=top, best_label=f"best: {value(best)}" if top is not None else "",
        width=width, height=height,
    ))  # fmt: skip


def _by_root(sweep: Row, points: list[Row], width: int, height: int) -> Markup:
    """The chart of every run's evaluations against √KL."""
    series, marks = [], []
    for i, point in enumerate(points):
        tone = i % len(TONES)
        runs = [r for r in sweep["runs"] if r["value"] == point["value"] and not r.get("error")]
        for run in runs:
            evaluations = [row for row in run["history"] if row.get("kl") is not None]
            roots = [math.sqrt(max(row["kl"], 0.0)) for row in evaluations]
            label = f"{named(sweep['over'])} = {value(point['value'])}"
            series.append(Series(f"{label}, truth", [row["truth"] for row in evaluations], (), "truth", roots, tone))
        if runs and point["kl"] is not None:
            label = value(point["value"])
            marks.append(
                Mark(
                    label,
                    math.sqrt(max(point["kl"], 0.0)),
                    point["truth"],
                    point["truth_half"],
                    "truth",
                    tone,
                    label=label,
                )
            )
    form = (sweep.get("forms") or {}).get("truth")
    if form and form["high"] > form["low"]:
        steps = [
            form["low"] + (form["high"] - form["low"]) * i / 100 for i in range(101)
        ]  # enough points that no dots are drawn
        fitted = [d * (form["alpha"] - form["beta"] * math.log(d)) for d in steps]
        series.append(Series("fitted", list(fitted), (), "proxy", steps))
    return Markup(line_chart(  # noqa: S704 (it escapes what it is given)
        "Truth by distance", "√KL to the SFT policy", "truth: SDs above the SFT policy", series,
        x=(), marks=marks, thin=True, width=width, height=height,
    ))  # fmt: skip


def _forms(sweep: Row) -> list[Row]:
    return [{"name": name, **form} for name, form in (sweep.get("forms") or {}).items()]
