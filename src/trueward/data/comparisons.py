"""Comparisons from files, in trueward's form and others', and back; `agreement` measures how often votes agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from trueward.data import hub, llama_factory, tables
from trueward.data.export import FORMATS, WHOLE, write
from trueward.data.formats import NAMES, form, parse
from trueward.data.layouts import known
from trueward.data.loading import Loaded, used
from trueward.data.options import ReadOptions
from trueward.data.rows import Row, UnusableRowError
from trueward.records import Comparison, Prompt

__all__ = ["FORMATS", "READABLE", "WHOLE", "agreement", "read", "read_all", "write"]
READABLE = (
    "trl",
    "trl-conversational",
    "trl-implicit",
    "hh",
    "rankings",
    "table",
    "own",
    *known.LAYOUTS,
    *tables.CONTAINERS,
)
HUB = "hf:"


def read(path: Path | str, format: str = "", options: ReadOptions | None = None) -> Loaded[Comparison]:
    """The comparisons of a JSONL, CSV or Parquet file in any form of docs/comparisons.md; the first row decides which.

    `hf:NAME` is a data set of the Hugging Face library `datasets`. `format` names the form (`trl`, `hh`...) or the kind of
    file (`csv`...) where the rows or the file's name don't show it; `options` decide what else they don't. Repeated rows are
    kept: every row is a vote.
    `ValueError` names file, line and field of the first mistake.
    """
    if format and format not in READABLE:
        raise ValueError(f'format: expected {", ".join(READABLE[:-1])} or {READABLE[-1]}, got "{format}"')
    as_container = format if format in tables.CONTAINERS else ""
    as_form = "" if as_container else format.replace("trl-conversational", "trl")
    source, files = str(path), [Path(path)]
    if llama_factory.is_one(source):
        source_rows, files = llama_factory.rows(source)
        default = f"file:{files[-1].name}"
    elif source.startswith(HUB):
        source_rows, files = hub.rows(source.removeprefix(HUB))
        default = source
    else:
        source_rows, default = tables.rows(Path(path), as_container), f"file:{Path(path).name}"
    options = replace(options or ReadOptions(), format=as_form)
    return _collect(source_rows, options, source, default, files)


def read_rows(rows: Iterable[Row], name: str, options: ReadOptions | None = None) -> Loaded[Comparison]:
    """Comparisons from rows in memory; `name` is what errors call them, and their source where they name none."""
    return _collect(rows, options or ReadOptions(), name, name, [])


def columns_of(options: ReadOptions) -> list[str]:
    """The names in `columns` that a file of comparisons may have: all but those of demonstrations alone."""
    return [name for name in options.columns if name not in ("completion", "messages", "text", "output", "solution")]


def _collect(
    source_rows: Iterable[Row], options: ReadOptions, source: str, default: str, files: list[Path]
) -> Loaded[Comparison]:
    rows: list[Comparison] = []
    where: list[str] = []
    left_out: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    first: tuple[Row, str] | None = None
    layout = options.format if options.format in known.LAYOUTS else ""
    options = replace(options, format="" if layout else options.format)
    read = unusable = 0
    for row in known.converted(source_rows, layout, detect=not options.format and not options.columns):
        read += 1
        try:
            row.use(options)
            is_form = options.format or form(row)
            first = first or (row, is_form)
            if is_form != first[1]:
                place = first[0].where.rpartition(", ")[2]
                raise row.error(f"expected {NAMES[first[1]]} form as on {place}, got {NAMES[is_form]}")
            pairs = parse(row, default, is_form, left_out)
        except UnusableRowError as problem:
            left_out[problem.reason] += 1
            pairs = []
        rows += pairs
        where += [row.where] * len(pairs)
        unusable += not pairs
        if first and first[1] != "own":  # it has no other columns
            ignored.update(row.ignored())
    return used(source, Loaded(rows, left_out, files, ignored, unusable, read, where), options.tolerate)


def read_all(paths: Iterable[Path], options: ReadOptions | None = None) -> Loaded[Comparison]:
    """The comparisons of several files, one after the other, as if they were one."""
    options = options or ReadOptions()
    loaded = [read(path, options=options.for_columns(columns_of(options))) for path in paths]
    return Loaded(
        [row for each in loaded for row in each.rows],
        sum((each.left_out for each in loaded), Counter()),
        [file for each in loaded for file in each.files],
        sum((each.ignored for each in loaded), Counter()),
        where=[place for each in loaded for place in each.where],
    )


def agreement(comparisons: Iterable[Comparison]) -> float | None:
    """The probability that two votes on the same two responses to the same prompt agree.

    Of every two responses that were judged at least twice, the mean over all ways to take two of the n votes:
    Σ_{i<j} (p_i p_j + (1 - p_i)(1 - p_j)) / (n (n - 1) / 2), with p the probability that the one is better; then the
    mean over the responses, however many votes each got. Which of the two is `first` doesn't matter. A tie
    is half a vote for either, so it agrees by half with everything. None if nothing was judged twice.
    """
    votes: defaultdict[tuple[Prompt, object], list[float]] = defaultdict(list)
    for comparison in comparisons:
        one, other = ((side.text, side.finished) for side in (comparison.first, comparison.second))
        low, high = sorted((one, other))
        sides = (low[0], high[0]) if low[0] != high[0] else (low, high)
        p = comparison.probability
        votes[comparison.prompt, sides].append(p if one == low else 1 - p)
    means = []
    for ps in votes.values():
        if (n := len(ps)) > 1:
            squares = sum(ps) ** 2 + (n - sum(ps)) ** 2 - sum(p * p + (1 - p) ** 2 for p in ps)
            means.append(squares / (n * (n - 1)))
    return sum(means) / len(means) if means else None
