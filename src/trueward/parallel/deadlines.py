"""When a process ends that hangs in torch.distributed: there Python hears no signal, and waits for ever for who never came.

Its main thread waits in C++ for another process, for as long as it takes; what Python would do about SIGTERM waits with it.
What is on disk is whole at any moment, so such a process may be ended at any moment.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trueward.parallel.control_line import ENDS, longest_silence

GRACE = 10.0  # seconds in which a process that was told to end may do so by itself
SHORTEST, TIMES = 60.0, 5.0  # a process that hasn't come is waited for so long at least, or so many silences


@contextmanager
def ended_when_told(rank: int) -> Iterator[None]:
    """Within this scope SIGTERM and SIGHUP end this process after `GRACE` seconds, whatever its main thread waits for.

    The system tells a thread by a byte in a socket, which needs no Python in the main thread. Elsewhere than in the main
    thread, and where something else has taken that socket's place: nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, mine = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    over = threading.Event()
    if before != -1:
        signal.set_wakeup_fd(before)
    else:
        threading.Thread(target=_wait_for_word, args=(mine, rank, over), daemon=True).start()
    try:
        yield
    finally:
        over.set()
        if before == -1:
            signal.set_wakeup_fd(-1)
        told.close()


@contextmanager
def until_all_have_come(rank: int) -> Iterator[None]:
    """Within this scope, in which the processes meet, this one ends in a line when that takes too long."""
    seconds = max(SHORTEST, TIMES * longest_silence())

    def give_up() -> None:
        place = ":".join(os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT"))
        line = f"trueward: rank {rank}: not all processes have come within {seconds:g} s to where they meet, {place}"
        print(line, file=sys.stderr, flush=True)
        os._exit(ENDS)

    timer = threading.Timer(seconds, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _wait_for_word(mine: socket.socket, rank: int, over: threading.Event) -> None:
    with mine:
        while number := mine.recv(1):
            if number[0] not in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
                continue
            if not over.wait(GRACE):
                name = signal.Signals(number[0]).name
                if not rank:  # which speaks for all
                    line = f"trueward: stopped by {name}; the same command goes on from here"
                    print(line, file=sys.stderr, flush=True)
                os._exit(128 + number[0])
            return
