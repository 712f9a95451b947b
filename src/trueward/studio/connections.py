"""Connections that nobody holds open for nothing: deadlines for a request's head and an answer's reader, and a bound on all."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0  # for the head of a request
READ_SECONDS = 30.0  # for a client that doesn't read what it asked for
LINGER_SECONDS = 5.0  # to send the rest of a body that was refused, so that the client gets to the refusal
MOST, LEAST = 512, 16  # connections at a time
ACCEPTED = 256  # waiting in the kernel, and taken over at once, before the bound is looked at
RESERVED = 256  # descriptors of files and databases


def most_connections() -> int:
    """How many connections may be open: `MOST`, fewer where the system allows few open files."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return MOST
    return max(LEAST, min(MOST, allowed - RESERVED - ACCEPTED))


class Connection(H11Protocol):
    """One connection.

    While as many are open as may be, a new one takes the place of the one that has kept the studio waiting for longest: for
    its request, or for the body of one that nobody is signed in for. Whoever sends a request at once is so always answered.
    """

    most = MOST

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.since = self.loop.time()  # when it began to keep us waiting
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A connection more; the one that waits longest goes if that is too many."""
        super().connection_made(transport)
        self._start(HEAD_SECONDS)
        if len(self.connections) > self.most:
            waiting = [one for one in self.connections if isinstance(one, Connection) and one.is_waiting()]
            (min(waiting, key=lambda one: one.since) if waiting else self).end()

    def data_received(self, data: bytes) -> None:
        """Bytes of a request: its head is complete before the deadline, or the connection ends."""
        super().data_received(data)
        if not self._is_idle():
            self._stop()
        elif self.timer is None:
            self._start(HEAD_SECONDS)

    def on_response_complete(self) -> None:
        """An answer is sent; what is left of its request has a little time to come."""
        self.since = self.loop.time()
        super().on_response_complete()
        if self._is_idle() and self.conn.their_state is h11.SEND_BODY:
            self._start(LINGER_SECONDS)

    def pause_writing(self) -> None:
        """The client doesn't read."""
        super().pause_writing()
        self._start(READ_SECONDS)

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._stop()

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came for a while; an answer that nobody has read doesn't keep it open either."""
        if self.transport.get_write_buffer_size():
            self._start(READ_SECONDS)
        else:
            super().timeout_keep_alive_handler()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has ended."""
        self._stop()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()

    def is_waiting(self) -> bool:
        """Whether it keeps the studio waiting, and nobody is signed in for what it sends."""
        if self._is_idle():
            return True
        signed_in = self.cycle.scope.get("state", {}).get("person") is not None
        return self.conn.their_state is h11.SEND_BODY and not signed_in

    def end(self) -> None:
        """Close it at once, with what is still to be sent."""
        self.connections.discard(self)  # now, so that the next one doesn't count it
        with contextlib.suppress(Exception):
            self.transport.abort()

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _start(self, seconds: float) -> None:
        self._stop()
        self.timer = self.loop.call_later(seconds, self.end)

    def _stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
