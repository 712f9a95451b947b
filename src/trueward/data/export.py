"""Comparisons to files: in trueward's form without loss, or in one that other tools read with the losses counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from trueward.data import flat, rankings, tables
from trueward.data.formats import ROLES, form, join_hh, parse
from trueward.data.rows import Row
from trueward.records import ASSISTANT, Comparison, Message, Prompt, line

FORMATS = ("own", "trl", "trl-conversational", "trl-implicit", "hh", "rankings", "csv", "parquet")
LOSSLESS = ("own", "csv", "parquet")
UNHELD = "rows the format can't hold"
EMPTY, ALIKE = "empty responses", "responses that differ only in being finished"
WHOLE = ("ties", EMPTY, ALIKE, "other roles", UNHELD)  # of these, nothing is written


def write(path: Path | str, comparisons: Iterable[Comparison], format: str, extra: bool = False) -> Counter[str]:
    """Writes comparisons in one of `FORMATS`, and counts what reading the file would not give back.

    Whole rows: "ties", "empty responses", "responses that differ only in being finished", "other roles" (HH knows two),
    "rows the format can't hold". Parts of rows that are written: "orders" (chosen was second), "soft probabilities",
    "strengths", "sources", "annotators", "rankings" (which pairs belong together), "check pairs", "ids", "unfinished
    flags", "plain-text prompts" (they become one user's turn), "prompt boundaries" (without a prompt column another one
    is inferred). `own`, `csv` and `parquet` drop nothing. The path's ending says whether a form is written as JSONL, CSV
    or Parquet. `extra` adds the columns votes, agreement and, where every row has a strength, margin.
    """
    path, comparisons = Path(path), list(comparisons)
    if format not in FORMATS:
        raise ValueError(f'format: expected {", ".join(FORMATS[:-1])} or {FORMATS[-1]}, got "{format}"')
    if format in ("csv", "parquet") and tables.container(path) != format:
        raise ValueError(f"{path}: expected a name that ends in {' or '.join(tables.CONTAINERS[format])}")
    dropped: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    if format == "rankings":
        rows = _rankings(comparisons, path, dropped)
    else:
        columns = _extra(comparisons) if extra and format != "own" else [{}] * len(comparisons)
        for comparison, further in zip(comparisons, columns, strict=True):
            if isinstance(row := _row(comparison, format, path, dropped), dict):
                rows.append(row | further)
            else:
                dropped[row] += 1
    if not rows:
        why = ": " + ", ".join(f"{reason} {count}" for reason, count in dropped.items()) if dropped else ""
        raise ValueError(f"{path}: no comparisons to write as {format}{why}")
    tables.write(path, rows)
    return dropped


def _row(comparison: Comparison, format: str, path: Path, dropped: Counter[str]) -> dict[str, Any] | str:
    if format == "own":
        return line(comparison)
    if format in LOSSLESS:
        return flat.row_of(comparison)
    return _export(comparison, format, path, dropped)


def _extra(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """For each row: how many votes its two responses have, and what share of them prefers the one it prefers.

    A tie is half a vote for either. `margin` is the strength, 1 to 3 (Llama 2, Touvron et al. 2023, section 3.2.2).
    """
    votes: defaultdict[object, list[float]] = defaultdict(list)
    for c in comparisons:
        votes[c.pair].append(c.for_lower)
    strong = all(c.strength for c in comparisons)
    columns = []
    for c in comparisons:
        lower = sum(votes[c.pair]) / len(votes[c.pair])
        agreement = 0.5 if c.for_lower == 0.5 else lower if c.for_lower > 0.5 else 1 - lower
        row: dict[str, Any] = {"votes": len(votes[c.pair]), "agreement": round(agreement, 6)}
        columns.append(row | ({"margin": float(c.strength or 0)} if strong else {}))
    return columns


def _export(comparison: Comparison, format: str, path: Path, dropped: Counter[str]) -> dict[str, Any] | str:
    """The row, with its losses counted; or why there's none."""
    if comparison.probability == 0.5:
        return "ties"
    better, worse = comparison.first, comparison.second
    if comparison.probability < 0.5:
        better, worse = worse, better
    if not (better.text.strip() and worse.text.strip()):
        return EMPTY
    if better.text == worse.text:
        return ALIKE
    row = EXPORTS[format](comparison.prompt, better.text, worse.text)
    if isinstance(row, str):
        return row
    parsed = _read_back(row, format.replace("trl-conversational", "trl"), path)
    if len(parsed) != 1:
        return UNHELD
    back = parsed[0]
    same_texts = (back.first.text, back.second.text) == (better.text, worse.text)
    if format != "trl-implicit" and not same_texts:
        return UNHELD
    if format == "trl" and back.prompt.as_json() != comparison.prompt.as_json():
        return UNHELD
    _count(comparison, back, better is comparison.second, format, dropped)
    return row


def _read_back(row: dict[str, Any], as_form: str, path: Path) -> list[Comparison]:
    read = Row.of(str(path), tables.as_read(tables.container(path), row), 0)
    try:
        return parse(read, f"file:{path.name}", as_form, Counter()) if form(read) == as_form else []
    except ValueError:
        return []


def _count(comparison: Comparison, back: Comparison, swapped: bool, format: str, dropped: Counter[str]) -> None:
    """What of a comparison is not in the one that reading its row gives back."""
    same = back.prompt == comparison.prompt
    sides = [comparison.first, comparison.second]
    ours = [side.id for side in (reversed(sides) if swapped else sides)]
    losses = {
        "prompt boundaries": not same and format == "trl-implicit",
        "plain-text prompts": not same and format in ("hh", "trl-conversational"),
        "orders": swapped,
        "soft probabilities": comparison.probability not in (0, 0.5, 1),
        "strengths": comparison.strength is not None,
        "sources": back.source != comparison.source,
        "annotators": back.annotator != comparison.annotator,
        "rankings": back.group != comparison.group,
        "check pairs": comparison.check is not None,
        "ids": same and [back.first.id, back.second.id] != ours,
        "unfinished flags": not all(side.finished for side in sides),
    }
    dropped.update(loss for loss, lost in losses.items() if lost)


def _rankings(comparisons: Sequence[Comparison], path: Path, dropped: Counter[str]) -> list[dict[str, Any]]:
    rows = []
    for row, stands_for in rankings.rows_of(comparisons):
        back = _read_back(row, "rankings", path)
        if len(back) != len(stands_for) or any(
            (b.prompt, b.first.text, b.second.text) != (c.prompt, c.first.text, c.second.text)
            for b, c in zip(back, stands_for, strict=False)
        ):
            for c in stands_for:
                empty = not (c.first.text.strip() and c.second.text.strip())
                alike = c.first.text == c.second.text
                dropped[EMPTY if empty else ALIKE if alike else UNHELD] += 1
            continue
        for b, c in zip(back, stands_for, strict=True):
            _count(c, b, False, "rankings", dropped)
        rows.append(row)
    return rows


def _assistant(text: str) -> Message:
    return Message(role=ASSISTANT, content=text)


def _plain(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    return [message.model_dump(mode="json") for message in messages]


def _offered(prompt: Prompt) -> dict[str, Any]:
    return {"tools": list(prompt.tools)} if prompt.tools else {}


def _trl(prompt: Prompt, chosen: str, rejected: str) -> dict[str, Any]:
    if prompt.text:
        return {"prompt": prompt.text, "chosen": chosen, "rejected": rejected}
    answers = {name: _plain((_assistant(text),)) for name, text in (("chosen", chosen), ("rejected", rejected))}
    return {"prompt": _plain(prompt.messages), **answers, **_offered(prompt)}


def _implicit(prompt: Prompt, chosen: str, rejected: str) -> dict[str, Any]:
    if prompt.text:
        return {"chosen": prompt.text + chosen, "rejected": prompt.text + rejected}
    sides = (("chosen", chosen), ("rejected", rejected))
    whole = {name: _plain((*prompt.messages, _assistant(text))) for name, text in sides}
    return whole | _offered(prompt)


def _conversational(prompt: Prompt, chosen: str, rejected: str) -> dict[str, Any]:
    turns = prompt.messages or (Message(role="user", content=prompt.text),)
    return _trl(Prompt(messages=turns, tools=prompt.tools), chosen, rejected)


def _hh(prompt: Prompt, chosen: str, rejected: str) -> dict[str, Any] | str:
    turns = prompt.messages or (Message(role="user", content=prompt.text),)
    if any(turn.role not in ROLES.values() for turn in turns):
        return "other roles"
    if prompt.tools or any(turn.tool_calls for turn in turns):
        return UNHELD
    sides = (("chosen", chosen), ("rejected", rejected))
    return {name: join_hh((*turns, _assistant(text))) for name, text in sides}


EXPORTS: dict[str, Callable[[Prompt, str, str], dict[str, Any] | str]] = {
    "trl": _trl,
    "trl-conversational": _conversational,
    "trl-implicit": _implicit,
    "hh": _hh,
}
