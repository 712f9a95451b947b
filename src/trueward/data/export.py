"""Comparisons to files: in trueward's form without loss, or in one that other tools read with the losses counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from trueward.data import jsonl
from trueward.data.formats import ROLES, form, join_hh, parse
from trueward.data.rows import ASSISTANT, Row
from trueward.records import Comparison, Message, Prompt, line


def write(path: Path | str, comparisons: Iterable[Comparison], format: str) -> Counter[str]:
    """Writes comparisons as `own`, `trl`, `trl-implicit` or `hh`, and counts what reading the file would not give back.

    Whole rows: "ties", "empty responses", "responses that differ only in being finished", "other roles" (HH knows two),
    "rows the format can't hold". Parts of rows that are written: "orders" (chosen was second), "soft probabilities",
    "strengths", "sources", "ids", "unfinished flags", "plain-text prompts" (HH: they become one user's turn), "prompt
    boundaries" (without a prompt column another one is inferred). `own` drops nothing.
    """
    path = Path(path)
    if format not in FORMATS:
        raise ValueError(f'format: expected own, trl, trl-implicit or hh, got "{format}"')
    dropped: Counter[str] = Counter()
    rows = []
    for comparison in comparisons:
        if format == "own":
            rows.append(line(comparison))
        elif isinstance(row := _export(comparison, format, path, dropped), dict):
            rows.append(row)
        else:
            dropped[row] += 1
    if not rows:
        why = ": " + ", ".join(f"{reason} {count}" for reason, count in dropped.items()) if dropped else ""
        raise ValueError(f"{path}: no comparisons to write as {format}{why}")
    jsonl.write(path, rows)
    return dropped


def _export(comparison: Comparison, format: str, path: Path, dropped: Counter[str]) -> dict[str, Any] | str:
    """The row, with its losses counted; or why there's none."""
    if comparison.probability == 0.5:
        return "ties"
    better, worse = comparison.first, comparison.second
    if comparison.probability < 0.5:
        better, worse = worse, better
    if not (better.text.strip() and worse.text.strip()):
        return "empty responses"
    if better.text == worse.text:
        return "responses that differ only in being finished"
    row = EXPORTS[format](comparison.prompt, better.text, worse.text)
    if isinstance(row, str):
        return row
    try:
        read = Row(str(path), row)
        back = parse(read, path.name, format) if form(read) == format else ""
    except ValueError:
        back = ""
    if isinstance(back, str):
        return "rows the format can't hold"
    same = back.prompt == comparison.prompt
    if format != "trl-implicit" and (back.first.text, back.second.text) != (better.text, worse.text):
        return "rows the format can't hold"
    losses = {
        "prompt boundaries": not same and format == "trl-implicit",
        "plain-text prompts": not same and format == "hh",
        "orders": better is comparison.second,
        "soft probabilities": comparison.probability not in (0, 1),
        "strengths": comparison.strength is not None,
        "sources": back.source != comparison.source,
        "ids": same and (back.first.id, back.second.id) != (better.id, worse.id),
        "unfinished flags": not (better.finished and worse.finished),
    }
    dropped.update(loss for loss, lost in losses.items() if lost)
    return row


def _assistant(text: str) -> Message:
    return Message(role=ASSISTANT, content=text)


def _plain(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _trl(prompt: Prompt, chosen: str, rejected: str) -> dict[str, Any]:
    if prompt.text:
        return {"prompt": prompt.text, "chosen": chosen, "rejected": rejected}
    answers = {name: _plain((_assistant(text),)) for name, text in (("chosen", chosen), ("rejected", rejected))}
    return {"prompt": _plain(prompt.messages), **answers}


def _implicit(prompt: Prompt, chosen: str, rejected: str) -> dict[str, Any]:
    if prompt.text:
        return {"chosen": prompt.text + chosen, "rejected": prompt.text + rejected}
    sides = (("chosen", chosen), ("rejected", rejected))
    return {name: _plain((*prompt.messages, _assistant(text))) for name, text in sides}


def _hh(prompt: Prompt, chosen: str, rejected: str) -> dict[str, Any] | str:
    turns = prompt.messages or (Message(role="user", content=prompt.text),)
    if any(turn.role not in ROLES.values() for turn in turns):
        return "other roles"
    sides = (("chosen", chosen), ("rejected", rejected))
    return {name: join_hh((*turns, _assistant(text))) for name, text in sides}


EXPORTS: dict[str, Callable[[Prompt, str, str], dict[str, Any] | str]] = {
    "trl": _trl,
    "trl-implicit": _implicit,
    "hh": _hh,
}
FORMATS = ("own", *EXPORTS)
