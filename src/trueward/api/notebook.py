"""Progress where a person looks: one line a stage in a notebook, bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from trueward.progress import Progress, clock, terminal_progress


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel. Imports nothing that isn't there already."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def shown_progress() -> AbstractContextManager[Progress]:
    """Progress for where this process runs."""
    return _notebook_progress() if in_notebook() else terminal_progress()


@contextmanager
def _notebook_progress() -> Iterator[Progress]:
    from IPython.display import display

    yield NotebookProgress(display)


class NotebookProgress(Progress):
    """One line for each piece of work, written anew in its place at most four times a second."""

    def __init__(self, display: Any, every: float = 0.25) -> None:
        """display: IPython's function of that name."""
        self.display, self.every = display, every

    def start(self, what: str, total: int) -> None:
        self.what, self.total, self.started, self.updated = what, max(total, 1), time.monotonic(), 0.0
        self.first: int | None = None
        self.handle = self.display(_text(f"{what}: …"), raw=True, display_id=True)

    def at(self, done: int, note: str = "") -> None:
        now = time.monotonic()
        if self.first is None:  # a resumed stage starts in the middle: what is left is judged by what was done here
            self.first = done - 1
        if now - self.updated < self.every:
            return
        self.updated = now
        left = (now - self.started) / max(done - self.first, 1) * max(self.total - done, 0)
        bar = "█" * round(20 * min(done / self.total, 1))
        self._show(f"{bar:░<20} {done}/{self.total}, {clock(left)} left", note)

    def end(self, note: str = "") -> None:
        self._show(f"done in {clock(time.monotonic() - self.started)}", note)

    def tell(self, text: str) -> None:
        self.display(_text(text), raw=True)

    def _show(self, text: str, note: str) -> None:
        self.handle.update(_text(f"{self.what}: {text}" + (f"  {note}" if note else "")), raw=True)


def _text(line: str) -> dict[str, str]:
    return {"text/plain": line}
