"""A service's answers in a file that only grows: one JSON object a line, found by its request's hash.

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
    """The hash of a request: its address and its body. A key for the service is in neither."""
    return hashlib.sha256(canonical({"endpoint": endpoint, "body": body}).encode()).hexdigest()


class Cache:
    """Answers by key, and `spent`, the cost of all requests, those without an answer included."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.answers: dict[str, dict[str, Any]] = {}
        self.spent = 0.0
        self.offset = 0  # bytes of the file that were read
        if path is not None and path.is_dir():
            raise ValueError(f"runtime.judge.cache: {path}: expected a file, this is a folder")
        self.refresh()

    def refresh(self) -> None:
        """Read the lines that were added since, by this process or others."""
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
        except ValueError:
            return  # blank, or cut off when its process was killed
        if isinstance(row, dict):
            self.spent += float(row.get("cost", 0.0))
            if isinstance(row.get("key"), str) and isinstance(row.get("answer"), dict):
                self.answers[row["key"]] = row

    def add(self, key: str, answer: dict[str, Any] | None, cost: float) -> None:
        """Record an answer, or None for a request that may have been billed without one; `cost` in the prices' currency."""
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
