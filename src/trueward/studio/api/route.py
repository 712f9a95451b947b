"""A route that knows who asks before it reads what they sent, and reads it strictly."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import unquote

from fastapi import HTTPException, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from trueward.studio.api import bodies, place

FLAT = ("/import", "/preview")  # where a body is a whole file
SMALL = 64 * 1024  # bytes that are parsed where they arrive; more of them in a thread of their own
CHECKS = (place.somebody, place.member, place.worker, place.reader, place.ruler)


class Route(APIRoute):
    """Authorises by the headers alone; only then is a body read, and parsed off the event loop."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler behind the checks that its own dependencies name."""
        handle = super().get_route_handler()
        needed = set(_calls(self.dependant))

        async def checked(request: Request) -> Response:
            path = str(request.scope["path"])
            if "\0" in path or "\0" in unquote(request.scope["query_string"].decode("latin-1")):
                raise HTTPException(422, "a NUL character in the address")
            if place.whoever in needed:
                request.state.person = await run_in_threadpool(place.identify, request)
                for check in CHECKS:
                    if check in needed:
                        check(request.state.person)
            return await handle(StrictRequest(request.scope, request.receive))

        return checked


class StrictRequest(Request):
    """A request whose JSON has no NaN, no half of a character, no NUL and no depth. Error 422 for what has."""

    async def json(self) -> Any:
        """The parsed body."""
        raw = await self.body()
        parse = bodies.flat if str(self.scope["path"]).endswith(FLAT) else bodies.plain
        try:
            return parse(raw) if len(raw) < SMALL else await run_in_threadpool(parse, raw)
        except ValueError as error:
            raise HTTPException(422, f"the body: {error}") from None


def _calls(dependant: Dependant) -> Iterator[Any]:
    for each in dependant.dependencies:
        yield each.call
        yield from _calls(each)
