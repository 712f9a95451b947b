"""Shared by the handlers: the database, the directories, and the account of a request."""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict

from trueward.studio.runs.library import Library
from trueward.studio.store import accounts
from trueward.studio.store.database import Database
from trueward.studio.store.inbox import Inbox
from trueward.studio.store.queue import Free

COOKIE = "trueward"
FAILURES, WINDOW = 5, 300.0  # wrong passwords by one address for one name, in so many seconds
Role = Literal["viewer", "annotator", "admin"]


class Body(BaseModel):
    """A request's body; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Limiter:
    """Limits the rate of failed attempts."""

    def __init__(self, failures: int = FAILURES, window: float = WINDOW) -> None:
        """failures: allowed in `window` seconds."""
        self.failures, self.window = failures, window
        self.seen: dict[str, deque[float]] = defaultdict(deque)
        self.lock = threading.Lock()

    def wait(self, *keys: str) -> int:
        """Seconds to wait before the next attempt; 0 for none."""
        now = time.monotonic()
        with self.lock:
            waits = [self.seen[key][0] + self.window - now for key in keys if self._count(key, now) >= self.failures]
        return int(max(waits, default=0)) + bool(waits)

    def failed(self, *keys: str) -> None:
        """Record a failed attempt."""
        with self.lock:
            for key in keys:
                self.seen[key].append(time.monotonic())

    def _count(self, key: str, now: float) -> int:
        seen = self.seen[key]
        while seen and seen[0] + self.window < now:
            seen.popleft()
        return len(seen)


@dataclass
class Studio:
    """One running studio. secure: it is reached by https, so its cookie is sent by https alone. lab: the lab page's files."""

    data: Path
    database: Database
    runs: Library
    secure: bool = False
    lab: dict[str, str] | None = None
    free: Free = field(default_factory=Free)
    limiter: Limiter = field(default_factory=Limiter)
    overviews: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = field(
        default_factory=dict
    )  # by project, with a stamp
    inbox: Inbox = field(init=False)

    def __post_init__(self) -> None:
        self.inbox = Inbox(self.data)

    def take_in(self) -> None:
        """Import the pairs that runs have sent since the last call."""
        self.inbox.take_in(self.database)


@dataclass(frozen=True)
class Person:
    """The account of a request."""

    id: int
    name: str
    role: Role


def studio_of(request: Request) -> Studio:
    """The studio that serves a request."""
    studio = request.app.state.studio
    assert isinstance(studio, Studio)
    return studio


Here = Annotated[Studio, Depends(studio_of)]


def whoever(request: Request, here: Here) -> Person | None:
    """The account of a session's cookie or a token; None without one."""
    bearer = request.headers.get("authorization", "")
    with here.database.reading() as connection:
        if bearer.startswith("Bearer "):
            row = accounts.who(connection, bearer.removeprefix("Bearer "), "token")
        elif cookie := request.cookies.get(COOKIE):
            row = accounts.who(connection, cookie, "session")
        else:
            row = None
    return None if row is None else Person(row.id, row.name, row.role)


def somebody(person: Annotated[Person | None, Depends(whoever)]) -> Person:
    """The account of a request; error 401 without one."""
    if person is None:
        raise HTTPException(401, "sign in first")
    return person


Anyone = Annotated[Person, Depends(somebody)]


def worker(person: Anyone) -> Person:
    """An account that may answer; error 403 for viewers."""
    if person.role == "viewer":
        raise HTTPException(403, "a viewer can only watch")
    return person


def reader(person: Anyone) -> Person:
    """An account that may see runs and figures; error 403 for annotators, who judge blind."""
    if person.role == "annotator":  # scores and model names would bias them
        raise HTTPException(403, "annotators judge blind")
    return person


def ruler(person: Anyone) -> Person:
    """An admin; error 403 for others."""
    if person.role != "admin":
        raise HTTPException(403, "only an admin can do that")
    return person


Worker = Annotated[Person, Depends(worker)]
Reader = Annotated[Person, Depends(reader)]
Admin = Annotated[Person, Depends(ruler)]
