"""How often something may be tried: attempts are counted before anything is done, so that parallel ones count too."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

WINDOW = 300.0  # seconds
# failed attempts in `WINDOW` seconds: at one name from one address, at one name from anywhere, from one address at any name
PAIR, NAME, ADDRESS = 5, 20, 20
KEYS = 10_000  # that are remembered; the longest silent ones are forgotten first
HASHING, WAITING = 2, 16  # passwords that are hashed at a time (64 MB each), and those that wait for it


class Limiter:
    """Counts attempts by key in the last `window` seconds. An attempt that succeeds is taken back."""

    def __init__(self, window: float = WINDOW) -> None:
        self.window = window
        self.seen: dict[str, deque[float]] = {}
        self.lock = threading.Lock()

    def attempt(self, limits: dict[str, int]) -> int:
        """Count an attempt under all keys, at once, and return 0; or count nothing, and return the seconds to wait.

        limits: the most attempts by key.
        """
        now = time.monotonic()
        with self.lock:
            waits = [
                self.seen[key][-most] + self.window - now for key, most in limits.items() if self._full(key, most, now)
            ]
            if waits:
                return int(max(waits)) + 1
            for key in limits:
                times = self.seen.pop(key, None) or deque()
                times.append(now)
                self.seen[key] = times  # at the end: the dictionary is in the order of the last attempts
            while len(self.seen) > KEYS:
                del self.seen[next(iter(self.seen))]
        return 0

    def succeeded(self, limits: dict[str, int]) -> None:
        """Take back one attempt of each key: it was none."""
        with self.lock:
            for key in limits:
                times = self.seen.get(key)
                if times:
                    times.pop()
                    if not times:
                        del self.seen[key]

    def _full(self, key: str, most: int, now: float) -> bool:
        times = self.seen.get(key)
        while times and times[0] + self.window < now:
            times.popleft()
        return times is not None and len(times) >= most


class Hashing:
    """Lets few passwords be hashed at a time, and few wait for it, so that guesses take neither memory nor all threads."""

    def __init__(self, at_once: int = HASHING, waiting: int = WAITING) -> None:
        self.turn = threading.BoundedSemaphore(at_once)
        self.room = threading.BoundedSemaphore(at_once + waiting)

    @contextmanager
    def place(self) -> Iterator[bool]:
        """A turn at hashing: True; or False at once if too many wait."""
        if not self.room.acquire(blocking=False):
            yield False
            return
        try:
            with self.turn:
                yield True
        finally:
            self.room.release()


def sign_in(name: str, address: str) -> dict[str, int]:
    """The limits of a sign-in: no rotation of names or of addresses gets around them."""
    name, address = name.casefold(), network(address)
    return {f"pair {address} {name}": PAIR, f"name {name}": NAME, f"address {address}": ADDRESS}


def network(address: str) -> str:
    """An address as one party has it: of IPv6 the first 64 bits, since whoever has one has all that follow."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return str(parsed)
