"""A JSONL log that grows, is cut back by a resume, and grows again."""

from __future__ import annotations

import json
import math
import os
import threading
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

CHUNK = 8 * 1024 * 1024


def new_rows(path: Path, offset: int) -> tuple[list[dict[str, Any]], int] | None:
    """The whole rows that were added behind `offset`, and the offset after them; None if the log was cut back before it.

    A row that is half written waits for its end.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < offset:
                return None
            if offset:
                file.seek(offset - 1)
                if file.read(1) != b"\n":
                    return None
            raw = file.read(CHUNK)
    except FileNotFoundError:
        return ([], 0) if not offset else None
    end = raw.rfind(b"\n") + 1
    rows = []
    for line in raw[:end].splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            return None if offset else ([], 0)  # what a cut left behind; it is read again from the start
        if isinstance(row, dict):
            rows.append(row)
    return rows, offset + end


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
        """Read what is new."""
        with self.lock:
            while True:
                before = self.offset
                found = new_rows(self.path, self.offset)
                if found is None:
                    self._empty()
                    continue
                rows, self.offset = found
                for row in rows:
                    self._add(row)
                if self.offset == before:
                    return

    def _add(self, row: dict[str, Any]) -> None:
        step = _number(row.get("step"))
        if math.isnan(step):
            return
        while self.steps and self.steps[-1] >= step:  # a resumed run tells it again
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
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def buckets(steps: Sequence[float], columns: dict[str, array[float]], most: int) -> dict[str, Any]:
    """At most `most` points a column, by the lowest and the highest value of every bucket of 2^k rows.

    A bucket's two points stand at its first and last step, in the order in which the two values came; both are None
    (a gap) where it holds no number. The same rows give the same points, and buckets stay where they are as rows come.
    """
    n = len(steps)
    width = 1
    while n > most * width // (1 if width == 1 else 2):
        width *= 2
    gaps = {key: sum(map(math.isnan, column)) for key, column in columns.items()}
    found: dict[str, Any] = {"rows": n, "bucket": width, "gaps": {k: v for k, v in gaps.items() if v}}
    if width == 1:
        found["steps"] = list(steps)
        found["columns"] = {key: [_shown(v) for v in column] for key, column in columns.items()}
        return found
    edges = range(0, n, width)
    found["steps"] = [steps[min(i, n - 1)] for start in edges for i in (start, start + width - 1)]
    found["columns"] = {key: _extremes(column, width) for key, column in columns.items()}
    return found


def _extremes(column: array[float], width: int) -> list[float | None]:
    points: list[float | None] = []
    for start in range(0, len(column), width):
        part = column[start : start + width]
        low = high = None
        for value in part:
            if not math.isnan(value):
                low = value if low is None or value < low else low
                high = value if high is None or value > high else high
        if low is None or high is None:
            points += (None, None)
        else:
            points += (low, high) if part.index(low) <= part.index(high) else (high, low)
    return points


def _shown(value: float) -> float | None:
    return None if math.isnan(value) else value
