"""From what was measured to a row of results.json, and to the table that is printed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from speed import arithmetic
from speed.arithmetic import Work
from speed.comparisons import Comparison
from speed.results import Row
from speed.sizes import Size

Measured = dict[str, Any]


def work(comparison: Comparison, size: Size, lengths: dict[str, float], answer: float | None) -> Work:
    """One unit's tokens. lengths: means of the data set's; answer: mean length of what was sampled."""
    prompt, first, second = lengths["prompt"], lengths["chosen"], lengths["rejected"]
    if comparison.stage == "sft":
        return Work(1.0, first / (prompt + first))
    if comparison.stage in ("reward", "dpo"):
        return Work(2 * prompt + first + second, first + second)
    longest = float(size.longest_answer) if answer is None else answer
    return Work(prompt + longest, longest)


def row(
    comparison: Comparison,
    size: Size,
    ours: Sequence[Measured],
    theirs: Sequence[Measured],
    lengths: dict[str, float],
    machine: dict[str, float],
    note: str = "",
) -> Row:
    """One line of results.json. Runs that failed are missing, and `note` says why."""
    found: Row = {
        "name": comparison.name,
        "size": size.name,
        "ours": middle([m["rate"] for m in ours]),
        "peer": middle([m["rate"] for m in theirs]),
        "ratio": None,
        "ratio_low": None,
        "unit": comparison.unit,
        "share_of_limit": None,
        "memory_ours": middle([m["memory"] for m in ours]),
        "memory_peer": middle([m["memory"] for m in theirs]),
        "ratio_high": None,
        "share_of_needed": None,
        "pairs": min(len(ours), len(theirs)),
        "peer_name": comparison.peer_name,
        "settings": comparison.settings,
        "machine": machine,
        "note": note,
    }
    if ours and theirs:
        ratio = arithmetic.ratio([m["rate"] for m in ours], [m["rate"] for m in theirs])
        found |= {"ratio": ratio.middle, "ratio_low": ratio.low, "ratio_high": ratio.high}
    if ours:
        found |= shares(comparison, size, found["ours"], lengths, ours[0].get("answer"), machine)
    return found


def shares(
    comparison: Comparison,
    size: Size,
    rate: float,
    lengths: dict[str, float],
    answer: float | None,
    machine: dict[str, float],
) -> dict[str, float]:
    """Of the machine's limit: counting all weights at every token, and counting what can't be left out."""
    unit = work(comparison, size, lengths, answer)
    limit = machine["products"]
    if comparison.stage == "sampling":
        rows = comparison.sampled.get(size.name, size.sampled)
        floor = arithmetic.decoding_floor(size, rows, lengths["prompt"], unit.chosen, limit, machine["reads"])
        whole = rate * floor / (rows * unit.chosen)
        return {"share_of_limit": whole, "share_of_needed": whole}
    passes = comparison.work or comparison.stage, size, unit, comparison.epochs
    return {
        "share_of_limit": arithmetic.share(rate, arithmetic.operations(*passes), limit),
        "share_of_needed": arithmetic.share(rate, arithmetic.needed(*passes), limit),
    }


def middle(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


HEAD = ("what", "size", "trueward", "peer", "", "times [low, high]", "of the limit", "memory", "peer's memory")


def cells(row: Row) -> tuple[str, ...]:
    """A row as it is read."""
    return (
        row["name"],
        row["size"],
        f"{number(row['ours'])} {row['unit']}" if row["ours"] is not None else "–",
        number(row["peer"]),
        row.get("peer_name", ""),
        spread(row),
        "–" if row["share_of_limit"] is None else f"{100 * row['share_of_limit']:.0f} %",
        gigabytes(row["memory_ours"]),
        gigabytes(row["memory_peer"]),
    )


def spread(row: Row) -> str:
    if row["ratio"] is None:
        return "–"
    high = row.get("ratio_high", row["ratio"])
    return f"{row['ratio']:.2f} [{row['ratio_low']:.2f}, {high:.2f}]"


def number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def gigabytes(value: float | None) -> str:
    return "–" if value is None else f"{value / 1e9:.2f} GB"


def notes(rows: Sequence[Row]) -> list[str]:
    """What has to be said of some rows, one line each."""
    return [f"{row['name']}/{row['size']}: {row['note']}" for row in rows if row.get("note")]


def table(rows: Sequence[Row]) -> Table:
    """For a terminal; the notes stand under it."""
    out = Table(
        *HEAD, title="trueward and its peers, side by side", caption="\n".join(notes(rows)), caption_justify="left"
    )
    for row in rows:
        out.add_row(*cells(row))
    return out


def markdown(rows: Sequence[Row]) -> str:
    """For docs/speed.md."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    said = [f"\n- {note}" for note in notes(rows)]
    return "\n".join([*lines, *("| " + " | ".join(cells(row)) + " |" for row in rows), *said])
