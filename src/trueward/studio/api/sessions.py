"""How a session begins: counted tries, and the cookie."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import HTTPException, Request, Response

from trueward.studio.api import limits
from trueward.studio.api.place import COOKIE, Studio
from trueward.studio.store import accounts


def address_of(request: Request) -> str:
    """Where a request comes from; a proxy's word for it counts only if the proxy is trusted (see `trueward.studio.serve`)."""
    return request.client.host if request.client else ""


def entering(request: Request) -> dict[str, int]:
    """The limits of links, by where they are opened."""
    return {f"enter {limits.network(address_of(request))}": limits.ADDRESS}


@contextmanager
def attempt(here: Studio, tries: dict[str, int]) -> Iterator[Any]:
    """Count an attempt, and take it back if it is said to be right."""
    if seconds := here.limiter.attempt(tries):
        raise HTTPException(429, f"too many tries; wait {seconds} seconds", {"Retry-After": str(seconds)})

    def right(known: bool) -> None:
        if known:
            here.limiter.succeeded(tries)

    yield right


def set_cookie(here: Studio, response: Response, session: str) -> None:
    """Send the session's cookie."""
    response.set_cookie(
        COOKIE, session, max_age=int(accounts.LASTS["session"]), httponly=True, samesite="strict", secure=here.secure
    )
