"""A server whose connections nobody can take up: half-open ones, slow ones, many at once; and a log that doesn't grow."""

from __future__ import annotations

import http.client
import io
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from trueward.studio import app, connections, log, serve
from trueward.studio.api.gate import Names
from trueward.studio.api.place import Studio
from trueward.studio.connections import Connection
from trueward.studio.runs.library import Library
from trueward.studio.store import accounts
from trueward.studio.store.database import Database

MOST = 40


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A studio that is really served, with short deadlines and few connections."""
    monkeypatch.setattr(connections, "MOST", MOST)
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.5)
    monkeypatch.setattr(connections, "LINGER_SECONDS", 0.5)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        number = listening.getsockname()[1]
        database = Database(tmp_path / "studio")
        (tmp_path / "runs").mkdir()
        studio = Studio(tmp_path / "studio", database, Library(tmp_path / "runs"))
        database.write(lambda c: accounts.owner(c))
        server = uvicorn.Server(serve.settings(app.make(studio, Names.of(number))))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield number
        server.should_exit = True
        thread.join(timeout=10)


def me(port: int) -> int:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request("GET", "/api/me")
        return line.getresponse().status
    finally:
        line.close()


def opened(port: int, begin: bytes) -> socket.socket:
    one = socket.create_connection(("127.0.0.1", port), timeout=10)
    one.sendall(begin)
    return one


def is_closed(one: socket.socket, seconds: float) -> bool:
    one.settimeout(seconds)
    try:
        while one.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


HEAD = b"POST /api/login HTTP/1.1\r\nhost: 127.0.0.1:%d\r\norigin: http://127.0.0.1:%d\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize("begin", [b"", b"GET /api/me HTTP/1.1\r\nx:", "a body that doesn't come"])
def test_half_open_connections_shut_nobody_out(port: int, begin: Any) -> None:
    """Ten times as many as there may be; whoever really asks is answered at once, all the time."""
    if isinstance(begin, str):
        begin = (HEAD % (port, port)) + b"content-length: 100\r\n\r\n{"
    held, waits = [], []
    for i in range(10 * MOST):
        held.append(opened(port, begin))
        if i % 50 == 49:
            start = time.monotonic()
            assert me(port) == 200
            waits.append(time.monotonic() - start)
    assert max(waits) < 5
    assert sum(is_closed(one, 0.05) for one in held[: 8 * MOST]) == 8 * MOST  # those that waited longest
    for one in held:
        one.close()


def test_a_head_has_a_deadline_however_it_drips(port: int) -> None:
    for begin in (b"", b"GET / HTTP/1.1\r\n"):
        one = opened(port, begin)
        start = time.monotonic()
        while time.monotonic() - start < 8:
            try:
                one.sendall(b"x-a: b\r\n" if begin else b"")
            except OSError:
                break
            if is_closed(one, 0.2):
                break
        assert 1 < time.monotonic() - start < 7
        one.close()
    again = opened(port, b"GET /api/me HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\nGET /api/me HT" % port)
    assert again.recv(65536).startswith(b"HTTP/1.1 200")
    assert is_closed(again, 6)  # the second request on it has one too
    again.close()


def test_a_refused_body_is_not_waited_for(port: int) -> None:
    """Its sender gets to read the refusal, and the connection ends soon after."""
    head = (HEAD % (port, port)).replace(b"/api/login", b"/api/projects/p/import") + b"content-length: 50000000\r\n\r\n"
    one = opened(port, head + b"{")
    assert one.recv(65536).startswith(b"HTTP/1.1 401")
    assert is_closed(one, 5)
    one.close()


def test_who_does_not_read_is_cut_off(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 0.5)
    ask = b"GET /page/vendor.js HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n\r\n" % port
    one = socket.socket()
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    one.connect(("127.0.0.1", port))
    one.sendall(ask * 60)  # far more than the system keeps for a reader
    time.sleep(4)
    assert me(port) == 200
    one.settimeout(5)
    received = 0
    try:
        while part := one.recv(65536):
            received += len(part)
    except OSError:
        pass
    assert received < 60 * 100_000
    one.close()


def test_the_log_is_bounded(port: int) -> None:
    written = io.StringIO()
    logging.getLogger("uvicorn").handlers[0].setStream(written)  # type: ignore[attr-defined]  # a StreamHandler
    for _ in range(3 * log.LINES):
        one = opened(port, b"\x00nonsense\x1b[2J\r\n\r\n")
        one.recv(1000)
        one.close()
    assert me(port) == 200
    assert 0 < written.getvalue().count("\n") <= log.LINES


def test_a_record_is_short_and_what_was_left_out_is_said() -> None:
    bounded, short = log.Bounded(lines=2, seconds=0.2), log.Short("%(message)s")
    record = logging.LogRecord("x", logging.ERROR, "", 0, "a\x1b[2Jb\u202e " + "long " * 50_000, (), None)
    text = short.format(record)
    assert text.startswith("a\\x1b[2Jb\\x202e long")
    assert len(text) < log.LONGEST + 100
    assert [bounded.filter(record) for _ in range(5)] == [True, True, False, False, False]
    time.sleep(0.25)
    assert bounded.filter(record)
    assert short.format(record).startswith("(3 lines of the log were left out)")


def test_fewer_connections_where_few_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    for allowed, most in ((1024, 512), (700, 188), (100, 16), (-1, 512)):
        monkeypatch.setattr(connections.resource, "getrlimit", lambda _, allowed=allowed: (allowed, allowed))
        assert connections.most_connections() == most


def test_whoever_is_signed_in_keeps_a_place(port: int, tmp_path: Path) -> None:
    """A slow import goes on while strangers open connections."""
    database = Database(tmp_path / "studio")
    token = database.write(lambda c: accounts.grant(c, accounts.owner(c), "token"))
    database.close()
    body = json.dumps({"name": "p", "instructions": "x" * 500}).encode()
    head = (HEAD % (port, port)).replace(b"/api/login", b"/api/projects")
    one = opened(port, head + b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n" % (token.encode(), len(body)))
    one.sendall(body[:100])
    time.sleep(0.5)  # so that the studio knows who it is
    held: list[socket.socket] = [opened(port, b"") for _ in range(3 * MOST)]
    one.sendall(body[100:])
    assert one.recv(65536).startswith(b"HTTP/1.1 200")
    for each in [one, *held]:
        each.close()


def test_the_class_is_the_servers_own() -> None:
    config: Callable[..., Any] = serve.settings
    made = config(lambda: None)
    assert made.http is Connection
    assert made.proxy_headers is False
