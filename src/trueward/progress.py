"""One line for every stage: what it is, how far it is, how long it will take. A bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class WaitingError(ValueError):
    """A run can't go on before people have said something: in one line, what is awaited. Its state is kept."""


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """Where a stage tells how far it is. This one says nothing."""

    def start(self, what: str, total: int) -> None:
        """A piece of work of `total` units begins."""

    def at(self, done: int, note: str = "") -> None:
        """So many units are done."""

    def end(self, note: str = "") -> None:
        """The piece of work is over."""


class ProgressLines(Progress):
    """Plain lines, at most one every few seconds, for logs and pipes."""

    def __init__(self, out: TextIO | None = None, every: float = 5.0) -> None:
        self.out, self.every = out or sys.stderr, every

    def start(self, what: str, total: int) -> None:
        self.what, self.total, self.started, self._last_update = what, max(total, 1), time.monotonic(), time.monotonic()
        self.first: int | None = None

    def at(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if self.first is None:  # a resumed stage starts in the middle: what is left is judged by what was done here
            self.first = done - 1
        if now - self._last_update >= self.every and done < self.total:
            self._last_update = now
            left = (now - self.started) / max(done - self.first, 1) * (self.total - done)
            self.say(f"{done}/{self.total}, {clock(left)} left" + (f", {note}" if note else ""))

    def end(self, note: str = "") -> None:
        self.say(f"done in {clock(time.monotonic() - self.started)}" + (f", {note}" if note else ""))

    def say(self, text: str) -> None:
        print(f"{self.what}: {text}", file=self.out, flush=True)


class ProgressBars(Progress):
    """A bar for each piece of work."""

    def __init__(self, progress: RichProgress) -> None:
        self.progress = progress
        self.task: TaskID | None = None

    def start(self, what: str, total: int) -> None:
        self.total = max(total, 1)
        self.task = self.progress.add_task(what, total=self.total, note="")

    def at(self, done: int, note: str = "") -> None:
        assert self.task is not None
        self.progress.update(self.task, completed=done, note=note)

    def end(self, note: str = "") -> None:
        assert self.task is not None
        self.progress.update(self.task, completed=self.total, note=note)


@contextmanager
def terminal_progress() -> Iterator[Progress]:
    """Bars where standard error is a terminal, lines elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ProgressLines()
        return
    columns = (
        TextColumn("{task.description:<34}"),
        BarColumn(bar_width=24),
        TextColumn("{task.completed:>5}/{task.total:<5}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=console) as progress:
        yield ProgressBars(progress)
