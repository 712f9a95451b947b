"""Rank 0's word to the other processes, and who of them is still alive, beside the collectives of torch.distributed.

A collective can't be waited for while rank 0 is at work alone for an hour, and says nothing of who is missing. So each process
has a TCP connection to rank 0, on which JSON goes, a line each: what rank 0 decided, why somebody ends, and every few seconds
that the sender lives. A process that has died is seen at once, one that is stopped or cut off after `SILENCE` seconds.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import secrets
import select
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from trueward.signals import LostProcessError

SILENCE = "TRUEWARD_SILENCE"
"""Environment variable: seconds after which a process that sends nothing is given up."""
LONGEST = 120.0  # its default
BEATS = 8  # within that time
ENDS = 75  # exit code of who gives up, sysexits.h's EX_TEMPFAIL


class ControlLine:
    """One end of the connections. On rank 0 one for each other process, elsewhere the one to rank 0."""

    def __init__(self, rank: int, ends: dict[int, socket.socket]) -> None:
        """ends: the connections, by the rank at their other end."""
        self.rank, self.ends = rank, ends
        self.silence = longest_silence()
        self.words: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.gone: dict[int, str | None] = {}  # ranks that have ended, and why; None: without a word
        self.helps: Callable[[dict[str, Any]], None] | None = None
        """What another rank does when rank 0 asks for help while it is waited for."""
        self.over = threading.Event()
        self.sending = threading.Lock()
        self.threads = [threading.Thread(target=act, daemon=True) for act in (self._beat, self._listen)]
        for thread in self.threads:
            thread.start()

    @staticmethod
    def listen(host: str) -> tuple[socket.socket, str]:
        """Rank 0's socket, and the address that others have to be told: host, port and a word that strangers don't know."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = socket.create_server((host if host else "", 0), family=family)
        return server, json.dumps([host, server.getsockname()[1], secrets.token_hex(16)])

    @classmethod
    def accept(cls, server: socket.socket, address: str, world: int) -> ControlLine:
        """Rank 0's end, once all others have called."""
        word = json.loads(address)[2]
        ends: dict[int, socket.socket] = {}
        server.settimeout(longest_silence())
        with server:
            while len(ends) < world - 1:
                end, _ = server.accept()
                end.settimeout(5.0)
                said = b""
                with contextlib.suppress(OSError):
                    while not said.endswith(b"\n") and len(said) < 200 and (more := end.recv(1)):
                        said += more
                given, _, rank = said.decode(errors="replace").strip().partition(" ")
                if secrets.compare_digest(given.encode(), word.encode()) and rank.isdigit():
                    ends[int(rank)] = end
                else:
                    end.close()  # nobody of ours
        return cls(0, ends)

    @classmethod
    def call(cls, address: str, rank: int) -> ControlLine:
        """Another process's end."""
        host, port, word = json.loads(address)
        end = socket.create_connection((host, port), timeout=longest_silence())
        end.sendall(f"{word} {rank}\n".encode())
        return cls(rank, {0: end})

    def tell(self, value: Any) -> None:
        """Rank 0's next word to all others, JSON."""
        self._send({"word": value})

    def ask(self, work: dict[str, Any]) -> None:
        """Rank 0 asks all others, who wait for its next word, to do something first (`helps`). JSON."""
        self._send({"work": work})

    def hear(self) -> Any:
        """Rank 0's next word. `LostProcessError` when it ends instead; empty where rank 0 has said why on its own terminal."""
        message = self.words.get()
        while "work" in message:
            assert self.helps is not None
            self.helps(message["work"])
            message = self.words.get()
        if "word" in message:
            return message["word"]
        self.words.put(message)  # it stays so
        raise LostProcessError(message["lost"])

    def close(self, why: str = "") -> None:
        """End the connections. why: what went wrong here, for the others."""
        self._send({"ends": why})
        self.over.set()
        for end in self.ends.values():
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(timeout=self.silence)
        for end in self.ends.values():
            end.close()

    def who_is_gone(self, patience: float = 2.0) -> str:
        """Which other process has ended and what it said, in a clause; empty if none is known within `patience` seconds."""
        until = time.monotonic() + patience
        while not self.gone and time.monotonic() < until:
            time.sleep(0.02)
        for rank, why in self.gone.items():
            return f"rank {rank} has ended" + (f": {why}" if why else "")
        return ""

    def _send(self, message: dict[str, Any]) -> None:
        raw = json.dumps(message).encode() + b"\n"
        with self.sending:
            for end in self.ends.values():
                with contextlib.suppress(OSError):  # `_listen` sees that it has ended
                    end.sendall(raw)

    def _beat(self) -> None:
        while not self.over.wait(self.silence / BEATS):
            self._send({"lives": True})

    def _listen(self) -> None:
        parts = dict.fromkeys(self.ends, b"")
        heard = dict.fromkeys(self.ends, time.monotonic())
        while parts and not self.over.is_set():
            ready, _, _ = select.select([self.ends[rank] for rank in parts], [], [], self.silence / BEATS)
            for rank in list(parts):
                if self.ends[rank] in ready:
                    heard[rank] = time.monotonic()
                    raw = b""
                    with contextlib.suppress(OSError):
                        raw = self.ends[rank].recv(1 << 16)
                    *lines, parts[rank] = (parts[rank] + raw).split(b"\n")
                    for line in lines:
                        self._take(rank, json.loads(line))
                    if not raw:
                        del parts[rank]
                        self._lost(rank)
                elif time.monotonic() - heard[rank] > self.silence and not self.over.is_set():
                    self._give_up(rank)

    def _take(self, rank: int, message: dict[str, Any]) -> None:
        if "word" in message or "work" in message:
            self.words.put(message)
        elif "ends" in message:
            self.gone[rank] = message["ends"]
            self.words.put({"lost": ""})

    def _lost(self, rank: int) -> None:
        """A connection has ended; without a word before, its process was killed."""
        if rank not in self.gone and not self.over.is_set():
            self.gone[rank] = None
            self.words.put({"lost": f"rank {rank} has ended"})

    def _give_up(self, rank: int) -> None:
        """End this process: it may be inside a collective, which can't be left. What is on disk is whole at any moment."""
        silent = f"rank {self.rank}: rank {rank} has sent nothing for {self.silence:g} s"
        print(f"trueward: {silent}; the same command goes on from here", file=sys.stderr, flush=True)
        os._exit(ENDS)


def longest_silence() -> float:
    """Seconds after which a process that sends nothing is given up. `ValueError` for a value that is no number above 0."""
    given = os.environ.get(SILENCE, "")
    try:
        seconds = float(given) if given else LONGEST
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{SILENCE}: expected seconds above 0, got {given!r}")
    return seconds
