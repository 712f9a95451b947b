"""What ends a run from outside, as exceptions: SIGTERM and SIGHUP, so that it says so in its files too; a lost process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))


class StoppedBySignal(SystemExit):
    """The process was asked to end. `number`: the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return signal.Signals(self.number).name


class LostProcessError(ConnectionError):
    """Another process of the same run has ended or is out of reach; the message says which."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Raise `StoppedBySignal` in the main thread for the first SIGTERM or SIGHUP; later ones are ignored.

    A signal that the process was started to ignore (nohup) stays ignored. Elsewhere than in the main thread: nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPPING}

    def stop(number: int, frame: FrameType | None) -> None:
        for each in STOPPING:
            signal.signal(each, signal.SIG_IGN)
        raise StoppedBySignal(number)

    for number, was in before.items():
        if was is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, was in before.items():
            signal.signal(number, was if was is not None else signal.SIG_DFL)
