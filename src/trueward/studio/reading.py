"""Reads imported files: pairs to judge, pairs whose winner is known, prompts to answer. In every layout that
`trueward comparisons import` reads, and without an outcome, too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trueward.data import comparisons, compressed, flat, loading, scored, tables
from trueward.data.layouts import known
from trueward.data.options import ReadOptions
from trueward.data.rows import Row
from trueward.records import Comparison, Prompt, Response
from trueward.studio.store import rankings
from trueward.studio.store.labels import Label
from trueward.studio.store.projects import Pair, Slate

UNDECIDED = 0.5
JUDGE = "judge"  # the `source` of comparisons that a recipe's judge wrote
ENDINGS = tuple(ending for endings in tables.CONTAINERS.values() for ending in endings)


@dataclass
class Read:
    """The contents of a file; `left_out` counts unusable rows by reason, `ignored` columns that nothing reads by name."""

    pairs: list[Pair] = field(default_factory=list)
    slates: list[Slate] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)


def save(folder: Path, name: str, content: bytes) -> Path:
    """What somebody sent as a file in `folder`, with an ending that says what it is; nothing else of its name is used."""
    given = Path(name.rsplit("/", 1)[-1]).suffixes[-2:]
    packed = given[-1].lower() if given and given[-1].lower() in compressed.PACKED else ""
    inner = given[-2:-1] if packed else given[-1:]
    ending = inner[0].lower() if inner and inner[0].lower() in ENDINGS else "" if packed else _ending(content)
    path = folder / f"import{ending or '.jsonl'}{packed}"
    path.write_bytes(content)
    return path


def _ending(content: bytes) -> str:
    """What a text without a name is: JSON, or a table as a spreadsheet copies it."""
    start = content.lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"["):
        return ".json"
    if start.startswith(b"{") or not start:
        return ".jsonl"
    return ".tsv" if b"\t" in start.split(b"\n", 1)[0] else ".csv"


def read(
    path: Path,
    name: str,
    kind: str,
    checks: bool,
    judge: str = "",
    format: str = "",
    options: ReadOptions | None = None,
) -> Read:
    """A file to import into a project. `ValueError` with the file's name, the line and the field.

    kind: of the project. checks: the pairs have known winners. judge: the outcomes are a model's of this name; those that a
    recipe's judge wrote are recognised by their source. format, options: as `comparisons.read` takes them.
    """
    options = options or ReadOptions()
    if format and format not in comparisons.READABLE:
        raise ValueError(f"format: expected {', '.join(comparisons.READABLE)}, got {format!r}")
    container = format if format in tables.CONTAINERS else ""
    layout = "" if container else format.replace("trl-conversational", "trl")
    try:
        if kind == "write":
            loaded = loading.prompts_of(tables.rows(path, container), name, options)
            return Read(prompts=loaded.rows, left_out=dict(loaded.left_out), ignored=dict(loaded.ignored))
        if kind == "rank":
            return _to_rank(tables.rows(path, container), name, checks or bool(judge), replace(options, format=layout))
        return _pairs(tables.rows(path, container), name, checks, judge, replace(options, format=layout))
    except ValueError as error:
        raise ValueError(_spelled(str(error).replace(str(path), name))) from None


def first_rows(path: Path, name: str, format: str = "", most: int = 5) -> list[dict[str, Any]]:
    """The first rows of a file as they are, empty fields too, for a preview."""
    container = format if format in tables.CONTAINERS else ""
    try:
        rows = [row for row, _ in zip(tables.rows(path, container), range(most), strict=False)]
    except ValueError as error:
        raise ValueError(str(error).replace(str(path), name)) from None
    return [{**dict.fromkeys(sorted(row.empty), None), **row.values} for row in rows]


def _pairs(rows: Iterable[Row], name: str, checks: bool, judge: str, options: ReadOptions) -> Read:
    loaded = comparisons.read_rows(_judged(rows, options, checks or bool(judge)), name, options)
    left_out = Counter(loaded.left_out)
    pairs, labels = [], []
    for row in loaded.rows:
        if checks and row.probability == UNDECIDED:
            left_out["no winner"] += 1
            continue
        better = int(row.probability < UNDECIDED) if checks else None
        pairs.append(Pair(row.prompt, row.first, row.second, better=better))
        if judge or row.source == JUDGE:
            who = judge or row.annotator or JUDGE
            labels.append(Label(pairs[-1], who[:200], row.probability))
    if checks and labels:
        raise ValueError(f"{name}: a model's label is no check pair: people are examined by known outcomes")
    return Read(_first_of_each(pairs), labels=labels, left_out=dict(left_out), ignored=dict(loaded.ignored))


def _to_rank(rows: Iterable[Row], name: str, outcome_needed: bool, options: ReadOptions) -> Read:
    """Answers to rank: of each ranking, and of pairs all answers to a prompt. What was said of them is not read."""
    if outcome_needed:
        raise ValueError(f"{name}: check pairs and models' labels are of two answers, and people rank several here")
    # a list without ranks is in no order that counts: people will rank it
    loaded = comparisons.read_rows(_judged(rows, options, False), name, replace(options, order="best-first"))
    left_out = Counter(loaded.left_out)
    sets: dict[Any, dict[tuple[str, bool], Response]] = {}
    prompts: dict[Any, Comparison] = {}
    for row in loaded.rows:
        key = row.group or row.prompt
        prompts.setdefault(key, row)
        for side in (row.first, row.second):
            sets.setdefault(key, {}).setdefault((side.text, side.finished), side)
    made = []
    for key, responses in sets.items():
        if len(responses) > rankings.MOST:
            left_out[f"more than {rankings.MOST} answers"] += 1
            continue
        made.append(Slate(prompts[key].prompt, tuple(responses.values())))
    return Read(slates=made, left_out=dict(left_out), ignored=dict(loaded.ignored))


def _judged(rows: Iterable[Row], options: ReadOptions, outcome_needed: bool) -> Iterator[Row]:
    """The rows, those without an outcome as ties: people will judge them, so that none is asked for."""
    for row in rows:
        if _is_bare(row, options):
            if outcome_needed:
                raise row.error("a check pair, or a model's label, needs an outcome")
            column = options.columns.get("winner", "winner")
            row.values[column] = "tie"
            row.empty.discard(column)
        yield row


def _is_bare(row: Row, options: ReadOptions) -> bool:
    """Whether a row has two responses as texts and nothing that says which is better."""
    if any(layout.is_one(row) for layout in known.LAYOUTS.values()):
        return False
    columns = dict(options.columns)
    here = Row(
        row.where, {**row.values, **{ours: row.values.get(theirs) for ours, theirs in columns.items()}}, options=options
    )
    here.empty = row.empty - columns.keys()
    names = flat.sides(here)
    if names is None or here.values.get("winner") or here.column("probability"):
        return False
    return scored.pair(here, *names, ("", ""), None) is None


def _first_of_each(pairs: Iterable[Pair]) -> list[Pair]:
    """Each pair once: votes on the same two answers are one pair to judge."""
    kept: dict[Any, Pair] = {}
    for pair in pairs:
        kept.setdefault((pair.prompt, frozenset((pair.first.text, pair.second.text))), pair)
    return list(kept.values())


def _spelled(message: str) -> str:
    """An error's message, in which options of the command line are what the page calls them."""
    message = re.sub(r"--columns ([\w.-]+)=([\w.-]+)", r"the column \2 as \1", message)
    message = re.sub(r"--format ([\w-]+)", r"the form \1", message)
    message = re.sub(r"--roles ([\w.-]+)=([\w.-]+)", r"the role \1 as \2", message)
    message = message.replace("--contradictions drop", "leaving contradictions out").replace(
        "--order best-first", "the order best-first"
    )
    return message.replace(
        "--tolerate SHARE, or data.tolerate in a recipe, lets more of them be left out",
        "map the columns, or clean the file",
    )
