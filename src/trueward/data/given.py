"""Data that is given as values: lists of dicts, records or strings, a Hugging Face data set, a pandas frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from trueward.data import comparisons as compared
from trueward.data import loading
from trueward.data.loading import Loaded
from trueward.data.options import ReadOptions
from trueward.data.rows import Row
from trueward.records import Comparison, Demonstration, Prompt, Record

R = TypeVar("R", bound=Record)
Data = Any
"""A path or a data set's name; or rows: dicts as a line of JSONL has them, records, for prompts strings too."""


def is_name(data: Data) -> bool:
    """Whether it is a file's or data set's name, not rows."""
    return isinstance(data, str | Path)


KEEP = ReadOptions(in_recipe=True, keep=True)


def demonstrations(data: Data, what: str, options: ReadOptions = KEEP) -> Loaded[Demonstration]:
    """Prompts with responses to imitate. what: the argument's name in errors. Prompts keep their rows' other columns."""
    return _records(data, Demonstration, what) or loading.demonstrations_of(_rows(data, what), what, options)


def prompts(data: Data, what: str, options: ReadOptions = KEEP) -> Loaded[Prompt]:
    """Prompts to answer; a demonstration counts by its prompt."""
    return _records(data, Prompt, what) or loading.prompts_of(_rows(data, what, text="prompt"), what, options)


def comparisons(data: Data, what: str, options: ReadOptions = KEEP) -> Loaded[Comparison]:
    """Comparisons in any form of docs/comparisons.md, from rows or from a file or data set."""
    options = options.for_columns(compared.columns_of(options))
    if is_name(data):
        return compared.read(data, options=options)
    return _records(data, Comparison, what) or compared.read_rows(_rows(data, what), what, options)


def _records(data: Data, kind: type[R], what: str) -> Loaded[R] | None:
    """The records, if that's what the first row is; `ValueError` if then another is none."""
    if not isinstance(data, list | tuple) or not data or not isinstance(data[0], kind):
        return None
    for i, row in enumerate(data):
        if not isinstance(row, kind):
            raise ValueError(f"{what}, row {i + 1}: expected a {kind.__name__} as the first one, got {_kind(row)}")
    return Loaded(list(data), Counter(), [])


def _rows(data: Data, what: str, text: str = "") -> Iterator[Row]:
    """Rows as a JSONL file would give them. text: the field that a bare string is."""
    if isinstance(data, Mapping | bytes) or not isinstance(data, Iterable):
        raise ValueError(f"{what}: expected rows (a list of dicts), a path or a data set's name, got {_kind(data)}")
    listed = data.to_dict("records") if hasattr(data, "to_dict") and hasattr(data, "columns") else data
    for i, row in enumerate(listed):
        if isinstance(row, str) and text:
            row = {text: row}
        if not isinstance(row, Mapping):
            raise ValueError(f"{what}, row {i + 1}: expected a dict{' or a string' if text else ''}, got {_kind(row)}")
        yield Row.of(f"{what}, row {i + 1}", row, i + 1)


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
