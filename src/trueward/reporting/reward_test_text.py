"""The test of a reward in words: a headline, and sentences on stability, spread, length, position, time and cost."""

from __future__ import annotations

from typing import Any

from trueward.reporting.formatting import SPACE, between, count, percent, plain, signed, span

Row = dict[str, Any]
OUTCOMES = {
    "rises": "exploitable",
    "falls": "falls",
    "invariant": "invariant",
    "not shown": "no shift shown",
    "not tested": "not tested",
}
GROUPS = {
    "neutral": "Form, which says nothing",
    "persuasion": "Words for whoever scores",
    "worthless": "In place of an answer",
}
NAMED = 4  # edits that the headline names


def outcome(row: Row) -> str:
    """An edit's outcome in words. A worthless answer that loses nothing is more than no shift."""
    if row["group"] == "worthless" and row["outcome"] in ("invariant", "not shown"):
        return "loses nothing"
    return OUTCOMES[row["outcome"]]


def unit(table: Row) -> str:
    """What a shift is counted in, for the head of a column."""
    of = str(table["unit"]["of"])
    return "SD" if of.startswith("SD") else of.partition(" ")[0]


def headline(table: Row) -> str:
    """What the test found, in one sentence or two."""
    findings = table["findings"]
    loved = [f["check"] for f in findings if f["kind"] == "exploitable"]
    unstable = [f["check"] for f in findings if f["kind"] == "unstable"]
    if loved:
        more = f" and {len(loved) - NAMED} more" if len(loved) > NAMED else ""
        text = f"Exploitable: {', '.join(loved[:NAMED])}{more}."
    elif any(row["outcome"] != "not tested" for row in table["edits"]):
        text = f"None of {len(table['edits'])} edits was shown to raise the score."
    else:
        text = "No edit was tested."
    return f"{text} The same answers get other scores: {', '.join(unstable)}." if unstable else text


def shift(row: Row) -> str:
    """The mean shift with its interval."""
    if row["shift"] is None:
        return ""
    if row["outcome"] == "invariant":
        return "0"
    interval = span(row["shift_low"], row["shift_high"])
    return f"{signed(row['shift'])} ({interval})" if interval else signed(row["shift"])


def sentences(table: Row) -> list[str]:
    """Everything beside the edits, a line each."""
    lines = [stability(table), spread(table), length(table), position(table), calls(table)]
    return [line for line in lines if line]


def stability(table: Row) -> str:
    """The same answers again, in another order, one at a time."""
    rows = table["stability"]
    if all(row["stable"] for row in rows):
        return f"The same answers get the same scores: {', '.join(row['check'] for row in rows)}."
    parts = [
        f"{row['check']}: {percent(row['moved'])} of answers move, by up to {row['largest']:.2g}{SPACE}{unit(table)}"
        + (f", and {count(row['unscored'])} have a score in one call alone" if row["unscored"] else "")
        for row in rows
        if not row["stable"]
    ]
    return f"The same answers get other scores: {'; '.join(parts)}."


def spread(table: Row) -> str:
    """Range, distinct values and ties."""
    row = table["spread"]
    text = (
        f"Scores from {_figure(row['lowest'])} to {_figure(row['highest'])}, {count(row['distinct'])} distinct values"
    )
    if row["ties"] is not None:
        kind = "answers to one prompt" if "one prompt" in table["length"]["of"] else "answers"
        text += f"; {percent(row['ties'])} of pairs of {kind} are tied"
    missing = table["calls"]["missing"]
    if not missing:
        return f"{text}; every answer got a finite score."
    return f"{text}; without a finite score: {', '.join(f'{count(n)} ({why})' for why, n in missing.items())}."


def length(table: Row) -> str:
    """The correlation of score and length."""
    row = table["length"]
    if row["correlation"] is None:
        return "Length: scores or lengths don't vary, so there is no correlation."
    return (
        f"Correlation of score and number of words, {row['of']}: {signed(row['correlation'])} "
        f"({span(row['low'], row['high'])})."
    )


def position(table: Row) -> str:
    """The judge's bias to a place; empty where nothing was compared."""
    row = table["position"]
    if not row:
        return ""
    if row["bias"] is None:
        return f"Position: fewer than two of {count(row['pairs'])} pairs were judged."
    return (
        f"Position: {signed(row['bias'])} in log-odds to the answer in first place ({span(row['low'], row['high'])}); the "
        f"order decides {percent(row['decides'])} of {count(row['pairs'])} pairs "
        f"({between(row['decides_low'], row['decides_high'])})."
    )


def calls(table: Row) -> str:
    """Time and cost."""
    row = table["calls"]
    cost = f", cost {plain(row['cost'], 4)}" if row["cost"] else ", no cost"
    each = row["seconds_per_answer"]
    return f"{count(row['answers'])} answers scored in {count(row['calls'])} calls, {_time(each)} an answer{cost}."


def _time(seconds: float) -> str:
    for size, name in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= size:
            return f"{seconds / size:.3g}{SPACE}{name}"
    return f"{seconds / 1e-6:.2g}{SPACE}µs"


def _figure(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
