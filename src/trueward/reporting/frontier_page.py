"""Several runs on one chart: an HTML page, a table for the terminal, and a headline in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup
from rich import box
from rich.table import Table
from rich.text import Text

from trueward.reporting.chart_mark import Mark
from trueward.reporting.chart_series import Series
from trueward.reporting.chart_style import KINDS, STYLE, TONE_STYLE, TONES, shape
from trueward.reporting.charts import alone, line_chart
from trueward.reporting.formatting import MISSING, SPACE, between, percent, plain, signed
from trueward.reporting.template import template

Row = dict[str, Any]
X, Y = "√KL to the SFT policy", "SDs above the SFT policy"


def page(frontier: Row) -> str:
    """An HTML page that needs no network and runs no scripts; all text from the reports is escaped."""
    runs = frontier["runs"]
    return template("frontier.html.jinja").render(
        frontier=frontier,
        runs=[{**row, "tone": _tone(i) % len(TONES), "shape": shape(_tone(i))} for i, row in enumerate(runs)],
        headline=headline(frontier),
        plots=[_plot(frontier, width, height) for width, height in ((880, 470), (400, 440))],
        alone=[(row, _alone(frontier, row)) for row in runs] if len(runs) > 1 else [],
        shape0=shape(0),
        counted=_counted(frontier),
        half=half,
        seeds=seeds,
        between=between,
        truths=any(row["final"]["truth"] is not None for row in runs),
        chart_style=Markup(STYLE + TONE_STYLE),  # noqa: S704 (our own constants)
    )


def picture(frontier: Row, narrow: bool = False) -> str:
    """The page's chart of all runs as an SVG file. narrow: for phones."""
    return alone(_plot(frontier, *((400, 440) if narrow else (880, 470))))


def table(frontier: Row) -> Table:
    """A row for each run and one for its best checkpoint, at most 100 columns wide."""
    caption = "proxy, truth: SDs under SFT; KL: nats; ±: 95 %; best: the checkpoint of the highest truth"
    title = Text(f"{_counted(frontier)}, measured on held-out prompts", style="bold")
    out = Table(
        box=box.SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
    )
    out.add_column("run", max_width=26, overflow="fold")
    out.add_column("kind")
    for name in ("β", "proxy", "truth", "win rate", "KL", "√KL", "seeds"):
        out.add_column(name, justify="right", no_wrap=name != "seeds", max_width=9 if name == "seeds" else None)
    out.add_row("SFT", "", "", *_cells(frontier["sft"]), "")
    for row in frontier["runs"]:
        beta = MISSING if row["kl_coef"] is None else f"{row['kl_coef']:g}"
        out.add_row(*map(Text, (row["run"], row["kind"], beta)), *_cells(row["final"]), Text(seeds(row["seeds"])))
        if row["best"]:
            out.add_row(Text(f"  best, {_steps(row)}", style="dim"), "", "", *_cells(row["best"]), "", style="dim")
    return out


def headline(frontier: Row) -> str:
    """Which run has the highest truth, where proxy and truth are furthest apart, and which run was over-optimised."""
    runs = [row for row in frontier["runs"] if row["final"]["truth"] is not None]
    if not runs:
        return "Nothing measured the truth in these runs: the proxy alone says little."
    first = max(runs, key=lambda row: row["final"]["truth"])
    top = first["final"]
    text = f"{first['run']} has the highest truth: {signed(top['truth'])}{_give(top['truth_half'])}{SPACE}SD"
    if top["kl"] is not None:
        text += f" at a KL of {plain(top['kl'], 1)}{SPACE}nats"
    if top["win_rate"] is not None:
        text += f"; {percent(top['win_rate'])} of its answers are preferred to SFT’s"
    near = [row["run"] for row in runs if row is not first
            and top["truth"] - row["final"]["truth"] <= _noise(top["truth_half"], row["final"]["truth_half"])]  # fmt: skip
    text += f". Not measurably behind: {', '.join(near)}." if near else "."
    turned = [row for row in runs if row["best"] and row["best"]["truth"] is not None
              and row["best"]["truth"] - row["final"]["truth"]
              > _noise(row["best"]["truth_half"], row["final"]["truth_half"])]  # fmt: skip
    for row in turned:
        text += (f" {row['run']} had more truth on its way: {signed(row['best']['truth'])}{SPACE}SD at {_steps(row)}, "
                 f"{signed(row['final']['truth'])} at its end.")  # fmt: skip
    gaps = [row for row in runs if row["final"]["proxy"] is not None and row["final"]["proxy"] - row["final"]["truth"]
            > _noise(row["final"]["proxy_half"], row["final"]["truth_half"])]  # fmt: skip
    if gaps:
        widest = max(gaps, key=lambda row: row["final"]["proxy"] - row["final"]["truth"])
        end = widest["final"]
        text += (f" The proxy promises most beyond the truth in {widest['run']}: {signed(end['proxy'])} against "
                 f"{signed(end['truth'])}.")  # fmt: skip
    return text


def half(value: float | None, digits: int = 2) -> str:
    """± 0.09, from half an interval; empty if there is none."""
    return "" if value is None else f"±{SPACE}{value:.{digits}f}"


def seeds(values: Sequence[int]) -> str:
    """Seeds as 0, 1, 5; three and more in a row as 0–11."""
    runs: list[list[int]] = []
    for value in sorted(values):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)


def _give(value: float | None) -> str:
    return f" {half(value)}" if value is not None else ""


def _noise(one: float | None, other: float | None) -> float:
    return math.hypot(one or 0.0, other or 0.0)


def _counted(result: Row) -> str:
    runs = sum(len(row["runs"]) for row in result["runs"])
    return "one run" if runs == 1 else f"{runs} runs"


def _steps(row: Row) -> str:
    steps = sorted({step for step in row["best_steps"] if step is not None})
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(map(str, steps))}"


def _cells(point: Row) -> list[Text]:
    cells = [
        f"{signed(point['proxy'])} {half(point['proxy_half'])}",
        f"{signed(point['truth'])} {half(point['truth_half'])}",
        percent(point["win_rate"]),
        plain(point["kl"], 1),
        plain(point["root_kl"], 1),
    ]
    return [Text(cell.replace(SPACE, " ").strip()) for cell in cells]


def _tone(index: int) -> int:
    """The number of a run's colour and shape; the first is SFT's."""
    return index % (len(TONES) - 1) + 1 + len(TONES) * (index // (len(TONES) - 1))


def _series(row: Row, tone: int | None) -> list[Series]:
    places = [at["root_kl"] for at in row["path"]]
    return [Series(f"{row['run']}, {name}", [at[name] for at in row["path"]], (), name, places, tone) for name in KINDS]


def _marks(name: str, point: Row, tone: int | None, ring: bool = False, label: str = "") -> list[Mark]:
    if point["root_kl"] is None:
        return []
    return [
        Mark(
            name, point["root_kl"], point[key], point[f"{key}_half"], key, tone, ring, label if key == labelled else ""
        )
        for labelled in ["truth" if point["truth"] is not None else "proxy"]
        for key in reversed(KINDS)
        if point[key] is not None
    ]


def _plot(result: Row, width: int, height: int) -> Markup:
    series, marks = [], _marks("SFT", {**result["sft"], "proxy": None}, 0, label="SFT")
    for i, row in enumerate(result["runs"]):
        tone = _tone(i)
        series += _series(row, tone)
        if row["best"]:
            marks += _marks(f"{row['run']}, best", {**row["best"], "proxy": None}, tone, ring=True)
        marks += _marks(row["run"], row["final"], tone, label=row["run"])
    return _drawn("Truth and proxy by distance from SFT", series, [], marks, width, height)


def _alone(result: Row, row: Row) -> Markup:
    """One run, on the axes of the chart of all."""
    every = [(point["root_kl"], point[key]) for r in result["runs"] for point in (r["final"], r["best"], *r["path"]) if point
             for key in ("proxy", "truth") if None not in (point["root_kl"], point[key])]  # fmt: skip
    marks = [] if not row["best"] else _marks(f"{row['run']}, best", {**row["best"], "proxy": None}, None, ring=True)
    for mark in _marks(row["run"], row["final"], None):
        marks.append(Mark(**{**vars(mark), "label": mark.kind}))
    return _drawn(f"{row['run']} alone", _series(row, None), every, marks, 310, 250)


def _drawn(
    title: str,
    series: Sequence[Series],
    cover: Sequence[tuple[float, float]],
    marks: Sequence[Mark],
    width: int,
    height: int,
) -> Markup:
    thin = any(s.tone is not None for s in series)
    return Markup(line_chart(  # noqa: S704 (it escapes what it is given)
        title, X, Y, series, x=(), marks=marks, cover=cover, thin=thin, width=width, height=height
    ))  # fmt: skip
