"""Reads a JSONL log that grows, may be truncated when the run resumes, and grows again."""

from __future__ import annotations

import json
import math
import os
import threading
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trueward.studio.runs import files

CHUNK = 8 * 1024 * 1024
TAIL = 256 * 1024


def new_rows(path: Path, offset: int) -> tuple[list[dict[str, Any]], int] | None:
    """The complete rows after `offset`, and the offset after them; None if the log was truncated before `offset`.

    A row that is half written waits for its end, a damaged one is left out; a log that is no regular file is empty.
    """
    try:
        with files.opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size < offset:
                return None
            if offset:
                file.seek(offset - 1)
                if file.read(1) != b"\n":
                    return None
            raw = file.read(CHUNK)
    except (OSError, files.DamagedError):
        return ([], 0) if not offset else None
    end = raw.rfind(b"\n") + 1
    rows = []
    for line in raw[:end].splitlines():
        try:
            row = json.loads(line) if line else None
        except (ValueError, RecursionError):
            continue  # damaged: the others are read
        if isinstance(row, dict):
            rows.append(row)
    return rows, offset + end


def last_row(path: Path) -> dict[str, Any]:
    """The last whole row of a log that is a table, looked for in its last 256 KB; {} if there is none. `RecursionError`."""
    try:
        with files.opened(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL))
            lines = file.read(TAIL).split(b"\n")[:-1]
    except (OSError, files.DamagedError):
        return {}
    for line in reversed(lines):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            cleaned: dict[str, Any] = files.clean(row)
            return cleaned
    return {}


class Columns:
    """A metrics log as columns of numbers, kept up to date; NaN where a row has no number."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lock = threading.Lock()
        self._empty()

    def _empty(self) -> None:
        self.offset = 0
        self.steps = array("d")
        self.columns: dict[str, array[float]] = {}

    def update(self) -> None:
        """Read new rows."""
        with self.lock:
            while True:
                before = self.offset
                new = new_rows(self.path, self.offset)
                if new is None:
                    self._empty()
                    continue
                rows, self.offset = new
                if not self._extend(rows):
                    for row in rows:
                        self._add(row)
                if self.offset == before:
                    return

    def _extend(self, rows: list[dict[str, Any]]) -> bool:
        """Add many rows at once, if they have the same figures and rising steps; returns whether it could."""
        keys = rows[0].keys() if rows else set()
        if any(row.keys() != keys for row in rows) or (self.steps and keys - {"step"} != self.columns.keys()):
            return False
        steps = [_number(row.get("step")) for row in rows]
        before = [self.steps[-1] if self.steps else -math.inf, *steps]
        if not all(a < b for a, b in zip(before, steps, strict=False)):
            return False
        if any(isinstance(value, str | list | dict | bool) for value in (rows[0].values() if rows else ())):
            return False
        self.steps.extend(steps)
        for key in keys - {"step"}:
            self.columns.setdefault(key, array("d")).extend([_number(row[key]) for row in rows])
        return True

    def _add(self, row: dict[str, Any]) -> None:
        step = _number(row.get("step"))
        if math.isnan(step):
            return
        while self.steps and self.steps[-1] >= step:  # a resumed run repeats steps
            self.steps.pop()
            for column in self.columns.values():
                column.pop()
        n = len(self.steps)
        self.steps.append(step)
        for key, value in row.items():
            if key == "step" or not (value is None or isinstance(value, int | float)):
                continue
            if key not in self.columns:
                self.columns[key] = array("d", [math.nan]) * n if n else array("d")
            self.columns[key].append(_number(value))
        for column in self.columns.values():
            if len(column) == n:
                column.append(math.nan)


def _number(value: object) -> float:
    if type(value) is not float and type(value) is not int:
        return math.nan
    try:
        return float(value) if math.isfinite(value) else math.nan
    except OverflowError:  # an integer of hundreds of digits
        return math.nan


def buckets(steps: Sequence[float], columns: dict[str, array[float]], most: int) -> dict[str, Any]:
    """At most `most` points a column: the lowest and the highest value of every bucket of 2^k rows.

    A bucket's two points are at its first and last step, in the order in which the two values came; both are None
    (a gap) if it holds no number. The same rows give the same points, and buckets don't move as rows are added.
    """
    n = len(steps)
    width = 1
    while n > most * width // (1 if width == 1 else 2):
        width *= 2
    gaps = {key: int(np.isnan(np.array(column)).sum()) for key, column in columns.items()}
    result: dict[str, Any] = {"rows": n, "bucket": width, "gaps": {k: v for k, v in gaps.items() if v}}
    if width == 1:
        result["steps"] = list(steps)
        result["columns"] = {key: [_json_number(v) for v in column] for key, column in columns.items()}
        return result
    edges = range(0, n, width)
    result["steps"] = [steps[min(i, n - 1)] for start in edges for i in (start, start + width - 1)]
    result["columns"] = {key: _extremes(column, width) for key, column in columns.items()}
    return result


def _extremes(column: array[float], width: int) -> list[float | None]:
    values = np.full(-(-len(column) // width) * width, np.nan)
    values[: len(column)] = column
    rows = values.reshape(-1, width)
    known = ~np.isnan(rows)
    at_low = np.where(known, rows, np.inf).argmin(axis=1)
    at_high = np.where(known, rows, -np.inf).argmax(axis=1)
    ends = np.stack([np.minimum(at_low, at_high), np.maximum(at_low, at_high)], axis=1)
    points = np.take_along_axis(rows, ends, axis=1)
    return [
        _json_number(value) for value in np.where(known.any(axis=1, keepdims=True), points, np.nan).ravel().tolist()
    ]


def _json_number(value: float) -> float | None:
    return None if math.isnan(value) else value
