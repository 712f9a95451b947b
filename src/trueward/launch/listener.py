"""Ray's own pages about actors that died, which it prints from a thread of its own: left out, since a line of ours says it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast

LISTENER = "ray_listen_error_messages"  # the thread's name, since there is no setting for it


class WithoutListener:
    """A stream without what that thread writes; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write it, unless that thread does."""
        return len(text) if threading.current_thread().name == LISTENER else self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def without_listener() -> Iterator[None]:
    """Within this scope Ray's pages are left out of standard output and error; they are in Ray's own logs, under /tmp/ray."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast(TextIO, WithoutListener(stream)) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
