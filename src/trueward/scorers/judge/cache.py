"""A service's answers in an append-only file: one JSON object a line, by the hash of its request.

A line is written by one call, before the answer is used; a line that a killed process left incomplete is skipped.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from trueward.config import canonical


def key(endpoint: str, body: dict[str, Any]) -> str:
    """The hash of a request: its address and its body. The service's secret key is in neither."""
    return hashlib.sha256(canonical({"endpoint": endpoint, "body": body}).encode()).hexdigest()


def _is_cost(value: Any) -> bool:
    """A negative one would open the cap, and NaN compares with nothing."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e15


class Cache:
    """Answers by key, and `spent`, the cost of all requests, including those without an answer."""

    def __init__(self, path: Path | None) -> None:
        """path: the file; None: in memory alone. `ValueError` for a folder."""
        self.path = path
        self.answers: dict[str, dict[str, Any]] = {}
        self.spent = 0.0
        self.offset = 0  # bytes of the file that were read
        if path is not None and path.is_dir():
            raise ValueError(f"runtime.judge.cache: {path}: expected a file, this is a folder")
        self.refresh()

    def refresh(self) -> None:
        """Read the lines that this process or others have added since."""
        if self.path is None or not self.path.is_file() or self.path.stat().st_size == self.offset:
            return
        with self.path.open("rb") as file:
            file.seek(self.offset)
            lines = file.read()
        complete = lines[: lines.rfind(b"\n") + 1]
        self.offset += len(complete)
        for line in complete.split(b"\n"):
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return  # blank, or cut off when its process was killed
        if isinstance(row, dict) and _is_cost(row.setdefault("cost", 0.0)):
            self.spent += float(row["cost"])
            if isinstance(row.get("key"), str) and isinstance(row.get("answer"), dict):
                self.answers[row["key"]] = row

    def add(self, key: str, answer: dict[str, Any] | None, cost: float) -> None:
        """Record a request and its cost, in the currency of the prices.

        answer: None for a request that may have been billed without one.
        """
        row = {"key": key, "answer": answer, "cost": cost}
        if answer is not None:
            self.answers[key] = row
        if self.path is None:
            self.spent += cost
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
            os.write(file, b"\n" * torn + json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        finally:
            os.close(file)
        self.refresh()
