"""Rows of a file, by its ending: CSV, TSV, Parquet and Arrow, else JSONL. Read with their place, written whole or not at all.

Parquet and Arrow need the package pyarrow, imported when such a file is named. A CSV's cells are text: lists in them
(messages, ranks) are JSON, and an empty cell is a field without a value, unless it's one of `TEXTS`. Any of them may be
packed (`.gz`, `.zst`). A text that a sheet would run as a formula is written with an apostrophe before it, and read without.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trueward.artifacts import replacing
from trueward.data import compressed, jsonl, sheets
from trueward.data.rows import Row
from trueward.extras import missing

SEPARATORS = {".csv": ",", ".tsv": "\t"}
CONTAINERS = {
    "csv": (".csv", ".tsv"),
    "parquet": (".parquet",),
    "arrow": (".arrow", ".feather"),
    "jsonl": (".jsonl", ".json", ".ndjson"),
}
LISTS = frozenset({"messages", "responses", "answers", "ranks", "scores", "conversation_a", "conversation_b"})
TEXTS = frozenset({"prompt", "first", "second", "chosen", "rejected", "response_a", "response_b"})


def container(path: Path, given: str = "") -> str:
    """`csv`, `parquet`, `arrow` or `jsonl`: what was given, else by the file's ending."""
    return given or next((n for n, endings in CONTAINERS.items() if compressed.ending(path) in endings), "jsonl")


def rows(path: Path, given: str = "") -> Iterator[Row]:
    """A file's rows in order. `ValueError` names the file, and the line or row, of what can't be read."""
    kind = container(path, given)
    if kind == "jsonl":
        unit = jsonl.unit(path)
        return (Row.of(f"{path}, {unit} {n}", values, n) for n, values in jsonl.read(path, lenient=True))
    if path.is_dir():
        raise ValueError(f"{path}: expected a file, got a folder")
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    return _csv(path) if kind == "csv" else _arrow(path, kind)


def _csv(path: Path) -> Iterator[Row]:
    raw = compressed.read(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise ValueError(f"{path}, line {line}: expected UTF-8, got the byte 0x{raw[problem.start]:02x}") from None
    csv.field_size_limit(jsonl.LONGEST_LINE)
    lines = csv.reader(
        io.StringIO(text, newline=""), delimiter=SEPARATORS.get(compressed.ending(path), ","), strict=True
    )
    names: list[str] = []
    while True:
        number = lines.line_num + 1
        try:
            cells = next(lines)
        except StopIteration:
            return
        except csv.Error as problem:
            raise ValueError(f"{path}, line {number}: not CSV: {problem}") from None
        if not cells:
            continue
        if not names:
            names = cells
            if twice := [name for name in names if name and names.count(name) > 1]:
                raise ValueError(f'{path}, line {number}: the header has the column "{twice[0]}" twice')
            continue
        if len(cells) != len(names):
            raise ValueError(
                f"{path}, line {number}: expected {len(names)} cells, as many as the header has, got {len(cells)}"
            )
        where = f"{path}, line {number}"
        yield Row.of(where, {name: cell for name, cell in _values(names, cells, Row(where, {})) if name}, number)


def _values(names: Sequence[str], cells: Sequence[str], row: Row) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(names, cells, strict=True):
        if name in LISTS and cell:
            try:
                yield name, json.loads(cell)
            except (json.JSONDecodeError, RecursionError):
                raise row.error("expected a list as JSON", name) from None
        else:
            yield name, sheets.unquoted(cell) if cell or name in TEXTS else None


def _arrow(path: Path, kind: str) -> Iterator[Row]:
    title = kind.capitalize()
    arrow, parquet = _pyarrow(path, title)
    number = 0
    try:
        content: Any = path if path.suffix.lower() not in compressed.PACKED else io.BytesIO(compressed.read(path))
        for batch in _parquet_batches(parquet, content) if kind == "parquet" else _arrow_batches(arrow, content):
            for values in batch.to_pylist():
                number += 1
                yield Row.of(f"{path}, row {number}", values, number)
    except (arrow.ArrowException, OSError) as problem:
        lines = str(problem).strip().splitlines()
        raise ValueError(f"{path}: can't be read as {title}: {lines[0] if lines else type(problem).__name__}") from None


def _parquet_batches(parquet: Any, content: Any) -> Iterator[Any]:
    with parquet.ParquetFile(content) as file:
        yield from file.iter_batches()


def _arrow_batches(arrow: Any, content: Any) -> Iterator[Any]:
    """Of a stream, as the library `datasets` writes it, or of a file with an index at its end."""
    raw = content.read_bytes() if isinstance(content, Path) else content.getvalue()
    if raw.startswith(b"ARROW1"):
        with arrow.ipc.open_file(raw) as file:
            yield from (file.get_batch(place) for place in range(file.num_record_batches))
    else:
        with arrow.ipc.open_stream(raw) as stream:
            yield from stream


def _pyarrow(path: Path, kind: str) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError:
        raise missing(f"{path}: {kind} needs the package pyarrow", "hub") from None
    return pyarrow, pyarrow.parquet


def as_read(kind: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that reading gives of one row written as `kind`."""
    if kind != "csv":
        return dict(values)
    names = list(values)
    return dict(_values(names, [_cell(values[name]) for name in names], Row("", {})))


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """All rows, as CSV, Parquet or JSONL by the path's ending. What was at `path` stays if that can't be done."""
    kind = container(path)
    if kind == "arrow" or path.suffix.lower() in compressed.PACKED:
        raise ValueError(f"{path}: can't be written; expected .jsonl, .csv, .tsv or .parquet")
    if kind == "jsonl":
        return jsonl.write(path, rows)
    if path.is_dir():
        raise ValueError(f"{path}: expected a file to write, got a folder")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: no such folder: {path.parent}")
    names = list(dict.fromkeys(name for row in rows for name in row))
    try:
        if kind == "csv":
            content = _as_csv(path, names, rows)
            with replacing(path) as temporary:
                temporary.write_bytes(content)
            return None
        arrow, parquet = _pyarrow(path, "Parquet")
        table = arrow.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
    except UnicodeEncodeError:
        raise ValueError(f"{path}: expected Unicode text, got half of a surrogate pair") from None
    with replacing(path) as temporary:
        parquet.write_table(table, temporary)
    return None


def _as_csv(path: Path, names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    out = csv.writer(text, delimiter=SEPARATORS[path.suffix.lower()], quoting=csv.QUOTE_ALL, lineterminator="\n")
    out.writerow(names)
    out.writerows([_cell(row.get(name)) for name in names] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return sheets.quoted(value)
    return json.dumps(value, ensure_ascii=False)
