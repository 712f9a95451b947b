"""Nobody's body is read before it is known who sends it, and anybody's only up to a size and within a time."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from typing import Any

import odd_requests as odd
import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message

from trueward.studio import app
from trueward.studio.api import bodies, gate, route
from trueward.studio.api.gate import Names
from trueward.studio.api.place import COOKIE, Studio
from trueward.studio.store import accounts

Client = Callable[..., TestClient]
OPEN = {"/api/me", "/api/enter", "/api/enter/again", "/api/login", "/api/logout", "/api/panel"}
JSON = {"content-type": "application/json"}


@pytest.fixture
def application(studio: Studio) -> ASGIApp:
    return app.make(studio, Names.of(8600))


def request(
    application: ASGIApp, path: str, receive: Callable[[], Any], method: str = "POST", **headers: str
) -> tuple[int, str]:
    """Status and text of an answer to a request whose body comes as `receive` gives it."""
    usual = {"host": "127.0.0.1:8600", "origin": "http://127.0.0.1:8600", "content-type": "application/json", **headers}
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"", "scheme": "http",
        "http_version": "1.1", "root_path": "", "client": ("10.0.0.1", 1), "server": ("127.0.0.1", 8600),
        "headers": [(name.encode(), value.encode()) for name, value in usual.items()],
    }  # fmt: skip
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    odd.finished(application(scope, receive, send))  # type: ignore[arg-type]  # a coroutine
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]).decode()


async def unread() -> Message:
    raise AssertionError("the body was read")


def test_no_route_reads_what_a_stranger_sends(application: ASGIApp, studio: Studio) -> None:
    viewer = studio.database.write(lambda c: accounts.grant(c, accounts.create(c, "eve", "viewer"), "session"))
    document, routes = odd.schema(application), 0
    for method, path, operation in odd.routes(document):
        if path in OPEN or not odd.body(document, operation):
            continue
        routes += 1
        address = odd.filled(path)
        assert request(application, address, unread, method)[0] == 401, path
        assert request(application, address, unread, method, authorization="Bearer tw_nobody")[0] == 401, path
        assert request(application, address, unread, method, cookie=f"{COOKIE}=nobody")[0] == 401, path
        if path in ("/api/projects", "/api/projects/{name}/import", "/api/accounts", "/api/answers", "/api/exclude"):
            assert request(application, address, unread, method, cookie=f"{COOKIE}={viewer}")[0] == 403, path
    assert routes >= 13


def test_every_route_is_one_that_knows_who_asks() -> None:
    from trueward.studio.api import desk, exports, imports, manage, panels, people, tokens, watch, work

    for module in (desk, exports, imports, manage, panels, people, tokens, watch, work):
        for each in module.router.routes:
            assert isinstance(each, route.Route), each


def in_parts(part: bytes, times: int, pause: float = 0.0) -> Callable[[], Any]:
    left = [times]

    async def receive() -> Message:
        if pause:
            await asyncio.sleep(pause)
        left[0] -= 1
        return {"type": "http.request", "body": part, "more_body": left[0] >= 0}

    return receive


def test_every_route_has_its_limit(application: ASGIApp) -> None:
    """A stranger's own routes take the least; what is longer than announced is not read to its end."""
    for path in OPEN - {"/api/me"}:
        endless = in_parts(b" " * 1024, 10**9)
        status, text = request(application, path, endless)
        assert status == (200 if path == "/api/logout" else 413), (path, text)  # it reads nothing
        assert request(application, path, unread, **{"content-length": str(gate.MOST[path] + 1)})[0] == 413
    for length, status in (("9" * 40, 413), ("9" * 5000, 413), ("\u00b2", 400), ("-1", 400), ("1e3", 400)):
        assert request(application, "/api/login", unread, **{"content-length": length})[0] == status


def test_a_body_that_drips_is_given_up(application: ASGIApp, monkeypatch: pytest.MonkeyPatch, studio: Studio) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.3)
    begun = time.monotonic()
    assert request(application, "/api/login", in_parts(b" ", 10**9, 0.05))[0] == 408
    assert request(application, "/api/login", in_parts(b" ", 10**9, 60.0))[0] == 408
    admin = studio.database.write(lambda c: accounts.grant(c, accounts.owner(c), "session"))
    slow = in_parts(b" ", 12, 0.05)  # an import may take longer, as long as it comes
    assert request(application, "/api/projects/p/import", slow, cookie=f"{COOKIE}={admin}")[0] == 422
    assert time.monotonic() - begun < 20


def test_a_big_body_is_parsed_beside_the_event_loop(
    client: Client, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, threads = client("boss", "admin"), []
    flat = bodies.flat

    def seen(raw: bytes) -> dict[str, Any]:
        threads.append(threading.current_thread().name)
        return flat(raw)

    monkeypatch.setattr(route.bodies, "flat", seen)
    admin.post("/api/projects", json={"name": "p"})
    text = "".join(json.dumps({"prompt": f"p {i}", "first": "a" * 500, "second": "b"}) + "\n" for i in range(300))
    assert admin.post("/api/projects/p/import", json={"text": text}).json()["added"] == 300
    assert len(threads) == 1
    assert "AnyIO worker" in threads[0]


def test_brackets_cost_an_import_nothing(client: Client) -> None:
    admin = client("boss", "admin")
    admin.post("/api/projects", json={"name": "p"})
    bomb = b'{"text": [' + b"[]," * 4_000_000 + b"[]]}"
    begun = time.process_time()
    reply = admin.post("/api/projects/p/import", content=bomb, headers=JSON)
    assert reply.status_code == 422
    assert "expected a text" in reply.json()["detail"]
    assert time.process_time() - begun < 2.0  # as Python's values it takes several


def test_an_answer_in_any_script_fits(client: Client) -> None:
    """100,000 characters of four bytes each."""
    admin = client("boss", "admin")
    admin.post("/api/projects", json={"name": "p", "kind": "write"})
    admin.post("/api/projects/p/import", json={"text": '{"prompt": "say hello"}\n'})
    item = admin.post("/api/projects/p/queue", json={"count": 1}).json()["items"][0]
    body = {"assignment": item["assignment"], "key": "long enough", "kind": "write", "text": "\U00013080" * 100_000}
    reply = admin.post("/api/answers", content=json.dumps(body, ensure_ascii=False).encode(), headers=JSON)
    assert reply.json() == {"state": "answered"}
