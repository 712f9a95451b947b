"""What a training process tells the command that started it: its progress, its lines, and how it ended. Plain lists of JSON."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from trueward.progress import Progress, WaitingError
from trueward.signals import LostProcessError

Event = list[Any]
Tell = Callable[[Event], None]
DONE, FAILED, PRINTED = "done", "failed", "printed"
KINDS: dict[str, type[BaseException]] = {
    "WaitingError": WaitingError,
    "LostProcessError": LostProcessError,
    "ValueError": ValueError,
    "SystemExit": SystemExit,
}
"""Errors that are one line for a user, and the end of a process whose line another one says."""


class ToldProgress(Progress):
    """Progress that is told in events, to be shown elsewhere (`show`)."""

    def __init__(self, tell: Tell) -> None:
        self.told = tell

    def start(self, what: str, total: int) -> None:
        """As `Progress`."""
        self.told(["start", what, total])

    def at(self, done: int, note: str = "") -> None:
        """As `Progress`."""
        self.told(["at", done, note])

    def end(self, note: str = "") -> None:
        """As `Progress`."""
        self.told(["end", note])

    def tell(self, text: str) -> None:
        """As `Progress`."""
        self.told(["tell", text])


def show(event: Event, progress: Progress) -> None:
    """An event on this process's own terminal."""
    name, *given = event
    if name == PRINTED:
        progress.tell(given[0])
    elif name in ("start", "at", "end", "tell"):
        getattr(progress, name)(*given)


class ToldLines(io.TextIOBase):
    """A stream whose whole lines are events."""

    def __init__(self, tell: Tell) -> None:
        self.told, self.begun = tell, ""

    def write(self, text: str) -> int:
        """Take text; its whole lines are told."""
        *lines, self.begun = (self.begun + text).split("\n")
        for line in lines:
            self.told([PRINTED, line])
        return len(text)

    def writable(self) -> bool:
        """Always."""
        return True


@contextmanager
def printing(tell: Tell) -> Iterator[None]:
    """Within this scope what is printed, by whatever library, is told."""
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stderr = ToldLines(tell)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def failed(error: BaseException) -> Event:
    """How a process ended that raised this."""
    text = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
    if isinstance(error, SystemExit):
        return [FAILED, "SystemExit", str(error.code)]
    for kind in ("WaitingError", "LostProcessError"):
        if isinstance(error, KINDS[kind]):
            return [FAILED, kind, text]
    if isinstance(error, (ValueError, OSError)):
        return [FAILED, "ValueError", text or type(error).__name__]
    return [FAILED, type(error).__name__, text]


def raised(kind: str, text: str) -> BaseException:
    """The error that `failed` told of; one that isn't a user's keeps its name."""
    return KINDS[kind](text) if kind in KINDS else RuntimeError(f"{kind}: {text}")
