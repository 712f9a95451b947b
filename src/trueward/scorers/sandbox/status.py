"""A jail's first word: that it stands, or why it doesn't, over a pipe of its own that is closed before any other code runs.

One line of JSON, and only the first counts: {"ready": true}, {"late": true}, or {"refused": text, "errno": number}.
Exit statuses and output are never a word of the jail's: the code in it can make any of them.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import time
from typing import NamedTuple

LONGEST = 2048  # bytes of the line; less than what a pipe takes at once


class Status(NamedTuple):
    """ready: the jail stood before its role began. late: its time was up before. refused: why there is no jail."""

    ready: bool = False
    late: bool = False
    refused: str = ""
    errno: int = 0


ENDED = Status(refused="it ended before it was ready", errno=errno.EAGAIN)
"""Killed for memory, say: worth another try."""


def write(pipe: int, status: Status) -> None:
    """The line, at once. A reader that is gone doesn't matter."""
    text = {**status._asdict(), "refused": status.refused[:300]}
    with contextlib.suppress(OSError):
        os.write(pipe, json.dumps(text).encode() + b"\n")


def read(pipe: int, deadline: float) -> Status:
    """The first line. Late if there's none at the deadline (of the monotonic clock), refused if the pipe ends without one."""
    raw = b""
    while b"\n" not in raw and len(raw) < LONGEST:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([pipe], [], [], left)[0]:
            return Status(late=True)
        part = os.read(pipe, LONGEST)
        if not part:
            return ENDED
        raw += part
    try:
        return Status(**json.loads(raw.partition(b"\n")[0]))
    except (ValueError, TypeError):
        return Status(refused="its first word is damaged")
