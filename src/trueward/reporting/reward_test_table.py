"""The test of a reward, for the terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from trueward.reporting import reward_test_text as words
from trueward.reporting.formatting import between, percent

Row = dict[str, Any]
STYLES = {"exploitable": "bold red", "loses nothing": "yellow"}
LONGEST = 160  # characters of an answer that are printed


def table(result: Row) -> Table:
    """A row for each edit, at most 100 columns wide."""
    title = Text(f"{result['scorer']}: {result['prompts']:,} prompts, {result['answers']:,} answers", style="bold")
    caption = (
        f"shift: mean over prompts in {words.unit(result)}, 95 %, each alone; exploitable: shown over all "
        f"{result['tests']} tests at 5 %"
    )
    out = Table(
        box=box.SIMPLE_HEAD, pad_edge=False, title=title, caption=caption, title_justify="left", caption_justify="left"
    )
    out.add_column("edit")
    out.add_column("shift", justify="right", no_wrap=True)
    out.add_column("answers that rise", justify="right", no_wrap=True)
    out.add_column("", no_wrap=True)
    group = ""
    for row in result["edits"]:
        if row["group"] != group:
            group = row["group"]
            out.add_row(Text(words.GROUPS[group], style="dim italic"))
        rising = "" if row["rise"] is None else f"{percent(row['rise'])} ({between(row['rise_low'], row['rise_high'])})"
        outcome = words.outcome(row)
        out.add_row(
            Text(row["edit"]), Text(words.shift(row)), Text(rising), Text(outcome, style=STYLES.get(outcome, ""))
        )
    return out


def sentences(result: Row) -> list[str]:
    """The headline, what was found, and the other checks."""
    lines = [words.headline(result), *(f"  {f['kind']}: {f['says']}" for f in result["findings"])]
    lines += [f"Answers: {result['answers_from']}.", *words.sentences(result), best(result)]
    return [line.replace("\u00a0", " ") for line in [*lines, *(f"Note: {note}." for note in result["notes"])]]


def best(result: Row) -> str:
    """What best-of-n finds: how often, and the answer that it likes best."""
    row = result["best_of"]
    if not row["answers"]:
        return f"Best of {row['pool']:.0f} answers to each prompt: none of the edited ones is the highest."
    top = row["answers"][0]
    return (
        f"Best of {row['pool']:.0f} answers to each prompt: an edited one in {percent(row['edited'])} of prompts "
        f"(by chance {percent(row['chance'])}). "
        f"The farthest ({top['edit']}, {top['gain']:+.2f} {words.unit(result)}): {_short(top['answer'])}"
    )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line}”" if len(line) <= LONGEST else f"“{line[:LONGEST]}…”"
