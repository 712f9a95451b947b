"""Two checkpoints side by side, for the terminal."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from trueward.instruments.printed import between, percent, plain, signed, within
from trueward.instruments.statistics import Z

Row = dict[str, Any]


def names(found: Row) -> dict[str, str]:
    """What the two are called: the last part of their paths, or the last two where that is the same."""
    paths = {side: PurePath(found[side]).parts for side in ("model", "against") if found[side]}
    for parts in (1, 2, 99):
        short = {side: "/".join(path[-parts:]) for side, path in paths.items()}
        if len(set(short.values())) == len(short):
            break
    return short


def table(found: Row) -> Table:
    """A row for each scorer, no wider than 100 columns."""
    short = names(found)
    title = Text(" against ".join(short.values()), style="bold")
    caption = f"{found['prompts']:,} prompts; SDs under SFT where the scorer is the run's own; ± and ranges: 95 %"
    shown = Table(box=box.SIMPLE_HEAD, title=title, caption=caption, title_justify="left", caption_justify="left")
    shown.add_column("scorer")
    for name in (*short.values(), *(("difference", "preferred") if "against" in short else ())):
        shown.add_column(Text(name), justify="right", no_wrap=True)
    for row in found["scorers"]:
        cells = [row["scorer"]]
        for side in ("model", "against"):
            if side in row:
                cells.append(f"{signed(row[side]['mean'])} {within(row[side]['se'])}")
        if "difference" in row:
            half = (row["difference_high"] - row["difference_low"]) / 2
            cells.append(f"{signed(row['difference'])} {within(half / Z)}")
            cells.append(f"{percent(row['win_rate'])} {between(row['win_rate_low'], row['win_rate_high'])}")
        shown.add_row(*(Text(cell) for cell in cells))
    return shown


def sentences(found: Row) -> list[str]:
    """What the table says, in words."""
    lines, short = [], names(found)
    for row in found["scorers"]:
        if "difference" not in row:
            continue
        if row["difference_low"] > 0:
            said = f"scores {short['model']} higher"
        elif row["difference_high"] < 0:
            said = f"scores {short['against']} higher"
        else:
            said = "can't tell them apart"
        lines.append(f"{row['scorer']} {said}.")
        if row["order_effect"] > 1e-4:
            lines.append(f"{row['scorer']} changes what it says with the order, by up to {row['order_effect']:.2g}.")
    if found["kl"]:
        lines.append(f"KL of {short['model']} from {short['against']}: {plain(found['kl']['mean'], 1)} nats.")
    for side, name in short.items():
        figures = found["sides"][side]
        lines.append(
            f"{name} answers in {plain(figures['length'], 1)} tokens, {percent(figures['eos_rate'])} ended, "
            f"distinct-1 {plain(figures['distinct_1'])}."
        )
    return [line.replace("\u00a0", " ") for line in lines]
