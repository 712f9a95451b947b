"""Progress of every stage: its name, how far it is, the time left. Bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.progress import Progress as RichProgress
from rich.progress import Task, TaskID
from rich.text import Text

from trueward.console import ScreenConsole, printed


class WaitingError(ValueError):
    """A run has to wait for people's answers; the message says in one line for which. The run's state is saved first."""


_silent = False  # the process is another rank than 0 of several


def silence(on: bool) -> None:
    """Whether `note` prints nothing in this process: of several at one run, rank 0 speaks."""
    global _silent
    _silent = on


def note(text: str) -> None:
    """One line on standard error, whatever progress is printed."""
    if _silent:
        return
    print(f"trueward: note: {printed(text)}", file=sys.stderr, flush=True)


def clock(seconds: float) -> str:
    """Seconds as m:ss."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


class Progress:
    """The interface by which a stage reports how far it is. This one prints nothing."""

    def start(self, what: str, total: int) -> None:
        """A piece of work of `total` units begins."""

    def at(self, done: int, note: str = "") -> None:
        """`done` units are finished. note: figures to show beside it."""

    def end(self, note: str = "") -> None:
        """The piece of work is over."""

    def tell(self, text: str) -> None:
        """One line that stays, such as what was left out and why."""


class ProgressLines(Progress):
    """Plain lines on `out` (standard error), at most one every `every` seconds, for logs and pipes."""

    def __init__(self, out: TextIO | None = None, every: float = 5.0) -> None:
        self.out, self.every = out or sys.stderr, every

    def start(self, what: str, total: int) -> None:
        """Remember the work and when it began; nothing is printed yet."""
        self.what, self.total, self.started, self._last_update = what, max(total, 1), time.monotonic(), time.monotonic()
        self.first: int | None = None

    def at(self, done: int, note: str = "") -> None:
        """Print how far it is and the time left, if the last line is `every` seconds ago."""
        now = time.monotonic()
        if self.first is None:  # a resumed stage starts in the middle: what is left is judged by what was done here
            self.first = done - 1
        if now - self._last_update >= self.every and done < self.total:
            self._last_update = now
            left = (now - self.started) / max(done - self.first, 1) * (self.total - done)
            self.say(f"{done}/{self.total}, {clock(left)} left" + (f", {note}" if note else ""))

    def end(self, note: str = "") -> None:
        """Print how long it took, and the note."""
        self.say(f"done in {clock(time.monotonic() - self.started)}" + (f", {note}" if note else ""))

    def tell(self, text: str) -> None:
        """Print the line."""
        print(text, file=self.out, flush=True)

    def say(self, text: str) -> None:
        """Print one line about the present piece of work."""
        print(f"{self.what}: {text}", file=self.out, flush=True)


class ProgressBars(Progress):
    """A bar for each piece of work."""

    def __init__(self, progress: RichProgress) -> None:
        self.progress = progress
        self.task: TaskID | None = None

    def start(self, what: str, total: int) -> None:
        """Add a bar."""
        self.total = max(total, 1)
        self.task = self.progress.add_task(what, total=self.total, note="")

    def at(self, done: int, note: str = "") -> None:
        """Move the bar."""
        assert self.task is not None
        self.progress.update(self.task, completed=done, note=note)

    def end(self, note: str = "") -> None:
        """Fill the bar."""
        assert self.task is not None
        self.progress.update(self.task, completed=self.total, note=note)

    def tell(self, text: str) -> None:
        """Print the line above the bars."""
        self.progress.console.print(text, highlight=False, markup=False, soft_wrap=True)


class Bars(RichProgress):
    """One line for each task; the console's width is shared out by `bar_line`."""

    def make_tasks_table(self, tasks: Iterable[Task]) -> Group:  # type: ignore[override]  # any renderable will do
        """A `TaskLine` for each visible task."""
        return Group(*(TaskLine(task) for task in tasks if task.visible))


class TaskLine:
    """A task as one line, whatever the width."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        task = self.task
        left = "" if task.finished or task.time_remaining is None else f", {clock(task.time_remaining)} left"
        yield bar_line(
            task.description,
            int(task.completed),
            int(task.total or 1),
            clock(task.finished_time or task.elapsed or 0.0) + left,
            str(task.fields.get("note", "")),
            options.max_width,
        )


WIDEST_BAR, NARROWEST_BAR, SHORTEST_NAME, NAMES = 24, 4, 10, 34


def bar_line(what: str, done: int, total: int, times: str, note: str, width: int) -> Text:
    """A task in `width` columns: name, bar, count, times, note. In a narrow terminal these give way in turn: the bar, the
    name's padding and then its end, the note's first figures, the count. The times and the note's last word, the verdict, stay.
    """
    count, figures = f"{done}/{total}", note.split("  ") if note else []

    def room() -> int:
        """Columns for name and bar, with the two spaces between each two parts."""
        return width - sum(2 + len(part) for part in (count, times, "  ".join(figures)) if part)

    while len(figures) > 1 and room() < SHORTEST_NAME:
        figures = figures[1:]
    if room() < SHORTEST_NAME:
        count = ""
    bar = max(min(WIDEST_BAR, room() - 2 - max(len(what), NAMES)), min(NARROWEST_BAR, room() - 2 - len(what)), 0)
    bar = bar if bar >= NARROWEST_BAR else 0
    name = max(room() - (bar + 2 if bar else 0), 0)
    shown = what[: name - 1] + "…" if len(what) > name > 0 else what[:name]
    line = Text(shown.ljust(min(name, NAMES)), no_wrap=True, overflow="crop", end="\n")
    if bar:
        full = round(bar * min(done / max(total, 1), 1.0))
        line.append("  ").append("━" * full, style="bar.complete").append("━" * (bar - full), style="bar.back")
    for part, style in ((count, ""), (times, "progress.elapsed"), ("  ".join(figures), "")):
        if part:
            line.append("  ").append(part, style=style)
    return line


@contextmanager
def terminal_progress() -> Iterator[Progress]:
    """Bars where standard error is a terminal, lines elsewhere."""
    console = ScreenConsole(stderr=True)
    if not console.is_terminal:
        yield ProgressLines()
        return
    with Bars(console=console) as progress:
        yield ProgressBars(progress)
