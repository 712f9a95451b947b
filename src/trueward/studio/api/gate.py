"""Checks every request before a handler gets it, and sets the headers of every answer."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
MOST_BYTES = 256 * 1024
MOST_IMPORTED = 64 * 1024 * 1024
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
    """Allows only known hosts, own origins for unsafe methods, JSON bodies, and bodies up to a size limit."""

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
        most = MOST_IMPORTED if scope["path"].endswith("/import") else MOST_BYTES
        if problem := self.refusal(scope["method"], headers, most):
            await refuse(send, *problem)
            return

        received = 0

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                raise TooLongError
            return message

        async def dressed(message: Message) -> None:
            if received > most:
                return  # `refuse` answers instead of the application
            if message["type"] == "http.response.start":
                had = {name.lower() for name, _ in message["headers"]}
                more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in had]
                if b"cache-control" not in had:
                    more.append((b"cache-control", b"no-store"))
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        with contextlib.suppress(TooLongError):
            await self.app(scope, limited, dressed)
        if received > most:
            await refuse(send, 413, f"at most {most} bytes can be sent here")

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
        if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > most:
            return 413, f"at most {most} bytes can be sent here"
        return None


class TooLongError(Exception):
    """The body is longer than announced or allowed."""


async def refuse(send: Send, status: int, reason: str) -> None:
    """Send an error status with its reason as JSON."""
    body = json.dumps({"detail": reason}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [(k.encode(), v.encode()) for k, v in HEADERS.items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
