"""Shared by the handlers: the database, the directories, and the account of a request."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict

from trueward.studio.api.limits import Hashing, Limiter
from trueward.studio.runs.library import Library
from trueward.studio.runs.starting import RunStarter
from trueward.studio.store import accounts
from trueward.studio.store.database import Database
from trueward.studio.store.inbox import Inbox
from trueward.studio.store.queue import Free

COOKIE = "trueward"
SEEN_EVERY = 60.0  # seconds
MOST_STREAMS = 20  # open event streams of one account
MOST_ID = 2**31 - 1  # of a row: PostgreSQL's integers
MOST_NUMBER = 2**53 - 1  # that JSON can hold exactly
Role = Literal["viewer", "annotator", "admin"]
MemberRole = Role | Literal["panelist"]  # whoever came by a link for a panel, to one project


class Body(BaseModel):
    """A request's body; unknown fields are refused, and numbers that are none."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass
class Studio:
    """One running studio. secure: it is reached by https, so its cookie is sent by https alone. lab: the lab page's files.

    starter: what starts runs from its pages; none where that isn't allowed.
    """

    data: Path
    database: Database
    runs: Library
    secure: bool = False
    lab: dict[str, str] | None = None
    starter: RunStarter | None = None
    free: Free = field(default_factory=Free)
    limiter: Limiter = field(default_factory=Limiter)
    hashing: Hashing = field(default_factory=Hashing)
    streams: Counter[int] = field(default_factory=Counter)  # open event streams by account
    overviews: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = field(
        default_factory=dict
    )  # by project, with a stamp
    seen: dict[int, float] = field(default_factory=dict)  # by account: when it was last noted that they are here
    inbox: Inbox = field(init=False)

    def __post_init__(self) -> None:
        self.inbox = Inbox(self.data)

    def see(self, account_id: int) -> None:
        """Note that somebody is here, at most once a minute."""
        now = time.monotonic()
        if now - self.seen.get(account_id, -SEEN_EVERY) >= SEEN_EVERY:
            self.seen[account_id] = now
            self.database.write(lambda connection: accounts.see(connection, account_id), lasting=False)

    def take_in(self) -> None:
        """Import the pairs that runs have sent since the last call."""
        self.inbox.take_in(self.database)


@dataclass(frozen=True)
class Person:
    """The account of a request. by: what stands for it, a session or a token. hashed: that secret's hash."""

    id: int
    name: str
    role: MemberRole
    by: Literal["session", "token"] = "session"
    hashed: str = ""


def studio_of(request: Request) -> Studio:
    """The studio that serves a request."""
    studio = request.app.state.studio
    assert isinstance(studio, Studio)
    return studio


Here = Annotated[Studio, Depends(studio_of)]


def identify(request: Request) -> Person | None:
    """The account of a session's cookie or a token; None without one. By the headers alone."""
    bearer = request.headers.get("authorization", "")
    by: Literal["session", "token"] = "token" if bearer.startswith("Bearer ") else "session"
    secret = bearer.removeprefix("Bearer ") if by == "token" else request.cookies.get(COOKIE)
    if not secret:
        return None
    return holder(studio_of(request), accounts.digest(secret), by)


def holder(here: Studio, hashed: str, by: Literal["session", "token"]) -> Person | None:
    """The account for which a secret of this hash still stands."""
    with here.database.reading() as connection:
        row = accounts.holder(connection, hashed, by)
    return None if row is None else Person(row.id, row.name, row.role, by, hashed)


async def whoever(request: Request) -> Person | None:
    """The account of a request; `Route` has identified it before the body was read."""
    person: Person | None = request.state.person
    return person


def somebody(person: Annotated[Person | None, Depends(whoever)]) -> Person:
    """The account of a request; error 401 without one."""
    if person is None:
        raise HTTPException(401, "sign in first")
    return person


Anyone = Annotated[Person, Depends(somebody)]


def member(person: Anyone) -> Person:
    """An account that an admin made; error 403 for those that a link for a panel made."""
    if person.role == "panelist":
        raise HTTPException(403, "a panel's link opens one project and nothing else")
    return person


def worker(person: Anyone) -> Person:
    """An account that may answer; error 403 for viewers."""
    if person.role == "viewer":
        raise HTTPException(403, "a viewer can only watch")
    return person


def reader(person: Anyone) -> Person:
    """An account that may see runs and figures; error 403 for annotators and panels, who judge blind."""
    if person.role in ("annotator", "panelist"):  # scores and model names would bias them
        raise HTTPException(403, "annotators judge blind")
    return person


def ruler(person: Anyone) -> Person:
    """An admin; error 403 for others."""
    if person.role != "admin":
        raise HTTPException(403, "only an admin can do that")
    return person


Member = Annotated[Person, Depends(member)]
Worker = Annotated[Person, Depends(worker)]
Reader = Annotated[Person, Depends(reader)]
Admin = Annotated[Person, Depends(ruler)]
