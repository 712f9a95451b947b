"""Checks every request before a handler gets it, and sets the headers of every answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import traceback
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
KB = 1024
MOST_BYTES = 256 * KB
MOST_IMPORTED = 64 * KB * KB
# of the body, by the end of the path: what a stranger may send is the least, and an answer may have 100,000 characters
MOST = {
    "/api/login": 32 * KB, "/api/enter": 32 * KB, "/api/panel": 32 * KB, "/api/logout": 32 * KB, "/api/password": 32 * KB,
    "/api/enter/again": 32 * KB, "/api/answers": 512 * KB, "/api/edits": 512 * KB, "/import": MOST_IMPORTED,
    "/preview": MOST_IMPORTED,
}  # fmt: skip
BODY_SECONDS = 30.0  # for a whole body, or for each part of one to import
SECRETS = (
    "/api/login",
    "/api/enter",
    "/api/enter/again",
    "/api/panel",
    "/api/password",
)  # what is sent here is never logged
LOGGED = 6000  # characters of a traceback
BROKEN = "something is wrong in the studio; its log says where"
LOG = logging.getLogger("trueward.studio")
# Trusted Types with no policy at all: a string never becomes markup or a script in these pages
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}


@dataclass(frozen=True)
class Names:
    """The host names that the studio answers to, and the origins of its pages."""

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, port: int, url: str = "") -> Names:
        """Loopback's names at this port, and the public address if there is one."""
        hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        origins = {f"http://{host}" for host in hosts}
        if url:
            parts = urlsplit(url)
            hosts.add(parts.netloc.lower())
            origins.add(f"{parts.scheme}://{parts.netloc.lower()}")
        return cls(frozenset(hosts), frozenset(origins))


class Gate:
    """Allows known hosts, own origins for unsafe methods, JSON bodies; bounds a body's size and time; logs what fails."""

    def __init__(self, app: ASGIApp, names: Names) -> None:
        """app: the application behind it."""
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request on; refuse others."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = LimitedBody(receive, scope["path"])
        if problem := self.refusal(scope["method"], headers, body.most):
            await refuse(send, *problem)
            return
        started = finished = False

        async def dressed(message: Message) -> None:
            nonlocal started, finished
            if body.problem:
                return  # `refuse` answers instead of the application
            if message["type"] == "http.response.start":
                started = True
                had = {name.lower() for name, _ in message["headers"]}
                more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in had]
                if b"cache-control" not in had:
                    more.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message["headers"], *more]}
            else:
                finished = not message.get("more_body", False)
            await send(message)

        try:
            with contextlib.suppress(BodyError):
                await self.app(scope, body.receive, dressed)
        except Exception as error:
            LOG.error("%s", described(error, scope["method"], scope["path"]))
            if not started:
                await refuse(send, 500, BROKEN)
            elif not finished:
                raise CutShortError from None  # the connection is closed, so that nobody takes half an answer for a whole one
            return
        if body.problem and not started:
            await refuse(send, *body.problem)

    def refusal(self, method: str, headers: dict[str, str], most: int) -> tuple[int, str] | None:
        """Status and reason, or None for a request that is allowed. most: bytes of the body."""
        if headers.get("host", "").lower() not in self.names.hosts:
            return 421, "the studio does not answer to this host name"
        if method not in UNSAFE:
            return None
        origin = headers.get("origin", "").lower()
        by_token = headers.get("authorization", "").startswith("Bearer ")
        if origin not in self.names.origins and (origin or not by_token):
            return 403, "the request comes from another origin"
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            return 415, "expected application/json"
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()):
            return 400, "content-length: expected a number"
        if len(length) > 18 or int(length) > most:
            return too_long(most)
        return None


class LimitedBody:
    """Receives a request's body up to its limits of size and time. `problem`: status and reason, once one is broken."""

    def __init__(self, receive: Receive, path: str) -> None:
        self.pass_on, self.received, self.complete = receive, 0, False
        self.most = next((most for end, most in MOST.items() if path.endswith(end)), MOST_BYTES)
        self.until = 0.0
        self.problem: tuple[int, str] | None = None

    async def receive(self) -> Message:
        """The next message. `BodyError` for one that comes too late, or is too much."""
        if self.complete:
            return await self.pass_on()  # nothing is waited for but the end of the connection
        now = time.monotonic()
        if not self.until or self.most == MOST_IMPORTED:
            self.until = now + BODY_SECONDS
        try:
            message = await asyncio.wait_for(self.pass_on(), max(self.until - now, 0.001))
        except TimeoutError:
            self.problem = 408, f"nothing came for {BODY_SECONDS:.0f} seconds"
            raise BodyError from None
        self.received += len(message.get("body", b""))
        self.complete = message["type"] != "http.request" or not message.get("more_body", False)
        if self.received > self.most:
            self.problem = too_long(self.most)
            raise BodyError
        return message


class BodyError(Exception):
    """The body is longer than announced or allowed, or came too slowly."""


class CutShortError(Exception):
    """An answer could not be finished; why is in the log."""


def too_long(most: int) -> tuple[int, str]:
    """The refusal of a body of more bytes than `most`."""
    return 413, f"at most {most} bytes can be sent here"


def described(error: Exception, method: str, path: str) -> str:
    """An error for the log: where it happened and what it says; not what it says where somebody sent a secret."""
    if path in SECRETS:
        frames = "".join(traceback.format_tb(error.__traceback__))
        text = f"{frames}{type(error).__name__} (its message is left out: a secret was sent here)"
    else:
        text = "".join(traceback.format_exception(error)).rstrip()
    return f"{method} {path[:200]!r}: {text[-LOGGED:]}"


async def refuse(send: Send, status: int, reason: str) -> None:
    """Send an error status with its reason as JSON."""
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(k.encode(), v.encode()) for k, v in HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
