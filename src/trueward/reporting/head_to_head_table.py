"""The comparison of two checkpoints, for the terminal."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from trueward.evaluation.statistics import Z
from trueward.reporting.formatting import between, percent, plain, signed, within

Row = dict[str, Any]


def names(result: Row) -> dict[str, str]:
    """The names of the two: the last part of their paths, or the last two parts if those are equal."""
    paths = {side: PurePath(result[side]).parts for side in ("model", "against") if result[side]}
    for parts in (1, 2, 99):
        short = {side: "/".join(path[-parts:]) for side, path in paths.items()}
        if len(set(short.values())) == len(short):
            break
    return short


def table(result: Row) -> Table:
    """A row for each scorer, at most 100 columns wide."""
    short = names(result)
    title = Text(" against ".join(short.values()), style="bold")
    caption = f"{result['prompts']:,} prompts; SDs under SFT where the scorer is the run's own; ± and ranges: 95 %"
    out = Table(box=box.SIMPLE_HEAD, title=title, caption=caption, title_justify="left", caption_justify="left")
    out.add_column("scorer")
    for name in (*short.values(), *(("difference", "preferred") if "against" in short else ())):
        out.add_column(Text(name), justify="right", no_wrap=True)
    for row in result["scorers"]:
        cells = [row["scorer"]]
        for side in ("model", "against"):
            if side in row:
                cells.append(f"{signed(row[side]['mean'])} {within(row[side]['se'])}")
        if "difference" in row:
            half = (row["difference_high"] - row["difference_low"]) / 2
            cells.append(f"{signed(row['difference'])} {within(half / Z)}")
            cells.append(f"{percent(row['win_rate'])} {between(row['win_rate_low'], row['win_rate_high'])}")
        out.add_row(*(Text(cell) for cell in cells))
    return out


def sentences(result: Row) -> list[str]:
    """The results of the table in sentences."""
    lines, short = [], names(result)
    for row in result["scorers"]:
        if row["missing"]:
            lines.append(
                f"{row['scorer']} gave no score to {row['missing']} of {result['prompts']} prompts, which are left out."
            )
        if "difference" not in row:
            continue
        if row["difference_low"] > 0:
            outcome = f"scores {short['model']} higher"
        elif row["difference_high"] < 0:
            outcome = f"scores {short['against']} higher"
        else:
            outcome = "can't tell them apart"
        lines.append(f"{row['scorer']} {outcome}.")
        if row["order_effect"] > 1e-4:
            lines.append(f"{row['scorer']} changes what it says with the order, by up to {row['order_effect']:.2g}.")
    if result["kl"]:
        lines.append(f"KL of {short['model']} from {short['against']}: {plain(result['kl']['mean'], 1)} nats.")
    for side, name in short.items():
        figures = result["sides"][side]
        lines.append(
            f"{name} answers in {plain(figures['length'], 1)} tokens, {percent(figures['eos_rate'])} ended, "
            f"distinct-1 {plain(figures['distinct_1'])}."
        )
    return [line.replace("\u00a0", " ") for line in lines]
