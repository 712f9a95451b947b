"""The studio's log on standard error: bounded, so that nobody fills a disk with it from outside."""

from __future__ import annotations

import logging
import time
from typing import Any

LINES, SECONDS = 100, 60.0  # at most so many records in so many seconds
LONGEST = 8000  # characters of a record


class Bounded(logging.Filter):
    """Lets so many records through in a while; the next one that comes through says how many were left out."""

    def __init__(self, lines: int = LINES, seconds: float = SECONDS) -> None:
        super().__init__()
        self.lines, self.seconds = lines, seconds
        self.start, self.passed, self.left_out = time.monotonic(), 0, 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is written."""
        now = time.monotonic()
        if now - self.start > self.seconds:
            self.start, self.passed = now, 0
        if self.passed >= self.lines:
            self.left_out += 1
            return False
        self.passed += 1
        record.left_out, self.left_out = self.left_out, 0
        return True


class Short(logging.Formatter):
    """Records of a bounded length, in which nothing is obeyed by a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        text = super().format(record)
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]}\n… {len(text) - LONGEST} characters …\n{text[-LONGEST // 2 :]}"
        text = "".join(sign if sign.isprintable() or sign in "\n\t" else f"\\x{ord(sign):02x}" for sign in text)
        left_out = getattr(record, "left_out", 0)
        return f"({left_out} lines of the log were left out)\n{text}" if left_out else text


def settings() -> dict[str, Any]:
    """What `logging.config.dictConfig` takes: warnings and errors of the server, of asyncio and of the studio."""
    to_stderr = {"handlers": ["stderr"], "level": "WARNING", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"short": {"()": Short, "fmt": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
        "filters": {"bounded": {"()": Bounded}},
        "handlers": {
            "stderr": {"class": "logging.StreamHandler", "formatter": "short", "filters": ["bounded"]},
        },
        "loggers": {name: to_stderr for name in ("uvicorn", "asyncio", "trueward.studio")},
    }
