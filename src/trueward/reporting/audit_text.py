"""An audit's table for the terminal, and the sentences below it."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from trueward.evaluation.printable import printable
from trueward.reporting import verdict_text
from trueward.reporting.formatting import SPACE, between, count, percent, plain, signed, within
from trueward.reporting.report_text import hacked_line

Row = dict[str, Any]
NAMES = {"reference": "reference", "last": "last", "best": "best"}


def looks(table: Row) -> list[Row]:
    """The rows of the curve, the reference's own first, each with a step."""
    return [row for row in table.get("history") or [] if row.get("step") is not None]


def name_of(table: Row, key: str) -> str:
    """`last, step 80`: a policy of the table with its step."""
    if key == "reference":
        return NAMES[key]
    step = table.get("best_step") if key == "best" else looks(table)[-1]["step"]
    return f"{NAMES[key]}, step {step}"


def audit_terminal_table(table: Row) -> Table:
    """A row for the reference, the last and the best checkpoint, at most 100 columns wide."""
    table = printable(table)
    rows = table["policies"]
    prompts = rows["last"].get("prompts")
    title = Text(f"audit against {table['reference']}, measured on {count(prompts)} prompts", style="bold")
    has_kl = any(row.get("kl") is not None for row in rows.values())
    caption = (
        f"proxy, truth: SDs above the reference’s mean; {'KL: nats; ' * has_kl}length: {table['length_unit']}; ±: 95 %"
    )
    out = Table(box=box.SIMPLE_HEAD, title=title, caption=caption, title_justify="left", caption_justify="left")
    out.add_column("")
    for name in ("proxy", "truth", "win rate", *(["KL"] if has_kl else []), "length", "distinct-1"):
        out.add_column(name, justify="right", no_wrap=True)
    for key in NAMES:
        if not (row := rows.get(key)):
            continue
        cells = [
            f"{signed(row.get('proxy'))} {within(row.get('proxy_se'))}",
            f"{signed(row.get('truth'))} {within(row.get('truth_se'))}",
            f"{percent(row.get('win_rate'))} {between(row.get('win_rate_low'), row.get('win_rate_high'))}",
            *([plain(row.get("kl"), 1)] if has_kl else []),
            plain(row.get("length"), 1),
            plain(row.get("distinct_1"), 2),
        ]
        out.add_row(Text(name_of(table, key)), *(Text(cell.replace(SPACE, " ").strip()) for cell in cells))
    return out


def audit_sentences(table: Row, verbose: bool = False) -> list[str]:
    """The verdict, what moved, the best checkpoint, and what a reader should know. verbose: with test statistics."""
    table = printable(table)
    lines = []
    if verdict := table.get("verdict"):
        sentence = verdict_text.sentence(verdict)
        lines.append(sentence[:1].upper() + sentence[1:])
        if verbose and (numbers := verdict_text.statistics(verdict)):
            lines.append(numbers.replace("SFT", "the reference"))
    lines += [text for text in (best_line(table), hacked_line(table) or moved_line(table)) if text]
    lines += [f"Note: {note}." for note in table.get("notes") or []]
    return [line.replace(SPACE, " ") for line in lines]


def best_line(table: Row) -> str:
    """Which look has the highest truth; empty if nothing measured one."""
    best, rows = table.get("best_step"), looks(table)
    at = next((row for row in rows if row["step"] == best), None)
    if best is None or at is None or len(rows) < 2:
        return ""
    place = (table.get("places") or {}).get(str(best))
    named = f"step {best}" + (f" ({place})" if place else "")
    if (at.get("truth") or 0.0) <= 0:
        return f"No look is above the reference; the highest is {named}: {signed(at.get('truth'))}{SPACE}SD."
    if best == rows[-1]["step"]:
        return f"The truth is highest at the last look, {named}."
    last = rows[-1].get("truth")
    return (
        f"The truth is highest at {named}: {signed(at.get('truth'))}{SPACE}SD, against {signed(last)} at the last look."
    )


def moved_line(table: Row) -> str:
    """The first feature that the answers have more often than the reference's; empty if there is none."""
    row = next(iter(table.get("feature_shift") or []), None)
    if row is None:
        return ""
    values = f"proxy {signed(row.get('proxy'))}, truth {signed(row.get('truth'))}"
    return f"What moved: the answer {row['feature']}: {percent(row['before'])} → {percent(row['after'])}, {values}."
