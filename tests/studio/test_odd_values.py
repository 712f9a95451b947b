"""Odd values are 422, never 500: in every field of every route, in addresses, in files; and no log holds a password."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import odd_requests as odd
import pytest
from starlette.testclient import TestClient

from trueward.records import Prompt
from trueward.studio import app
from trueward.studio.api import bodies
from trueward.studio.api.gate import Names
from trueward.studio.api.place import Studio
from trueward.studio.api.watch import _cursor
from trueward.studio.store import accounts, projects

Client = Callable[..., TestClient]
JSON = {"content-type": "application/json"}
PASSWORD = "correct horse battery \ud83d"


@pytest.fixture
def document(studio: Studio) -> dict[str, Any]:
    return odd.schema(app.make(studio, Names.of(8600)))


def test_every_field_of_every_route(client: Client, document: dict[str, Any]) -> None:
    admin = client("boss", "admin")
    assert admin.post("/api/projects", json={"name": "p"}).status_code == 200
    tried = 0
    for method, path, operation in odd.routes(document):
        fields = odd.body(document, operation).get("properties", {})
        for field in fields:
            for name, fragment in odd.FRAGMENTS.items():
                reply = admin.request(
                    method, odd.filled(path), content=odd.whole(fields, field, fragment), headers=JSON
                )
                if path in ("/api/login", "/api/enter") and reply.status_code == 429:
                    continue
                assert reply.status_code == 422, (path, field, name, reply.status_code, reply.text[:300])
                assert len(reply.content) < 5000, (path, field, name)
                tried += 1
    assert tried > 300
    assert admin.get("/api/me").json()["account"]["name"] == "boss"


def test_every_parameter_of_every_address(client: Client, document: dict[str, Any]) -> None:
    admin = client("boss", "admin")
    admin.post("/api/projects", json={"name": "p"})
    for method, path, operation in odd.routes(document):
        if path.endswith("/events"):
            path = "/api/runs/no-such-run/events"  # it has no end
        more = {"content": b"{}", "headers": JSON} if method == "POST" else {}
        for parameter in operation.get("parameters", ()):
            for name, value in odd.IN_ADDRESSES.items():
                where = parameter["in"]
                if where == "header":
                    continue
                address = odd.filled(path, parameter["name"] if where == "path" else "", value)
                params = f"?{parameter['name']}={value}&{parameter['name']}={value}" if where == "query" else ""
                reply = admin.request(method, address + params, **more)
                assert reply.status_code < 500, (address[:80], params[:80], name, reply.text[:300])
                if value.find("%00") >= 0:
                    assert reply.status_code in (404, 422), (address, params, name)


@pytest.mark.parametrize(
    "header", ["authorization", "cookie", "last-event-id", "origin", "content-type", "content-length"]
)
def test_odd_headers(client: Client, header: str) -> None:
    admin = client("boss", "admin")
    values = (
        b"Bearer \xff\xfe",
        b'trueward="\\777\\000"',
        b"9" * 40,
        b"\xb2",
        b"Bearer ",
        b"[" * 5000,
        b"=;=;==",
        b"-1",
        b"NaN",
    )
    for value in values:
        for method, path in (("GET", "/api/me"), ("POST", "/api/projects"), ("GET", "/api/runs/x/events")):
            headers = [(b"content-type", b"application/json"), (header.encode(), value)]
            reply = admin.request(method, path, content=b"{}" if method == "POST" else None, headers=headers)
            assert reply.status_code < 500, (header, value, path)


def test_where_a_stream_goes_on(studio: Studio) -> None:
    for text in ("[" * 100_000, "NaN", "9" * 5000, '{"policy/metrics": 1e999}', "[]", '{"policy/metrics": -1}'):
        assert _cursor(text) == {}
    assert _cursor('{"policy/metrics": %s}' % ("9" * 40)) == {}
    assert _cursor('{"policy/metrics": 7, "x": 1}') == {"policy/metrics": 7}


@pytest.mark.parametrize(
    "row",
    [
        b'{"prompt": "a\\ud800", "first": "b", "second": "c"}',
        b'{"prompt": "a", "first": "b", "second": "c", "probability": NaN}',
        b'{"prompt": {"text": "a"}, "first": {"id": "1", "text": "b"}, "second": {"id": "2", "text": "c"},'
        b' "source": "x", "probability": 1e999}',
        b'{"prompt": {"text": "a"}, "first": {"id": "'
        + b"9" * 300
        + b'", "text": "b"}, "second": {"id": "2", "text": "c"},'
        b' "source": "x", "probability": 1}',
        b'{"prompt": ' + b"[" * 3000 + b"]" * 3000 + b"}",
        b'{"prompt": ' + b"9" * 5000 + b"}",
        b'{"messages": [{"role": "user", "content": "\\ud800"}]}',
        b"\xff\xfe",
    ],
)
@pytest.mark.parametrize("kind", ["compare", "rank", "write"])
def test_odd_rows_of_an_import(client: Client, row: bytes, kind: str) -> None:
    if kind == "write" and b"NaN" in row:
        pytest.skip("a prompt's row may have fields of its own")
    admin = client("boss", "admin")
    admin.post("/api/projects", json={"name": "p", "kind": kind})
    body = (
        b'{"text": '
        + (json.dumps(row.decode()).encode() if row.isascii() else b'"' + row + b'"')
        + b', "name": "mine.jsonl"}'
    )
    reply = admin.post("/api/projects/p/import", content=body, headers=JSON)
    assert reply.status_code == 422, reply.text
    assert "\n" not in str(reply.json()["detail"])
    assert admin.get("/api/projects/p").json()["rounds"][0]["items"] == 0


def test_a_model_s_nul_is_kept_as_it_is(client: Client, studio: Studio) -> None:
    """PostgreSQL has no place for it in a text; a model may write it all the same."""
    texts = ("a\0b", "\U0010ffff\0\U0010ffff0")
    studio.database.write(lambda c: projects.create(c, "p"))
    pair = projects.pair(Prompt(text="p\0"), texts, ("", ""), (True, True))
    for _ in range(2):
        studio.database.write(lambda c: projects.add_pairs(c, projects.get(c, "p"), [pair]))
    items = client("anna").post("/api/projects/p/queue", json={}).json()["items"]
    assert [{item["left"]["text"], item["right"]["text"]} for item in items] == [set(texts)]
    assert items[0]["prompt"] == {"text": "p\0"}


def test_the_log_never_holds_a_password(
    client: Client, studio: Studio, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither when one has half of a character in it, nor when something fails where passwords are handled."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(logging.getLogger("trueward.studio"), "propagate", True)  # a served studio's own log doesn't
    anna, stranger = client("anna"), client()
    secret = "correct horse battery"
    half = json.dumps({"name": "anna", "password": f"{secret} \ud83d"})
    replies = [
        stranger.post("/api/login", content=half, headers=JSON),
        anna.post("/api/password", content=json.dumps({"password": f"{secret} \ud83d"}), headers=JSON),
        stranger.post("/api/login", json={"name": "anna", "password": [secret]}),
    ]
    assert {reply.status_code for reply in replies} == {422}

    def broken(*values: Any) -> Any:
        raise RuntimeError(f"{values}")

    monkeypatch.setattr(accounts, "check_password", broken)
    monkeypatch.setattr(accounts, "set_password", broken)
    replies.append(stranger.post("/api/login", json={"name": "anna", "password": secret}))
    replies.append(anna.post("/api/password", json={"password": secret, "current": secret}))
    assert [reply.status_code for reply in replies[3:]] == [500, 500]
    assert not any(secret in reply.text for reply in replies)
    assert "RuntimeError" in caplog.text
    assert "a secret was sent here" in caplog.text
    assert secret not in caplog.text


def test_an_import_s_body_is_flat() -> None:
    assert bodies.flat(b' { "a" : "b\\u00e9\\n" , "n": -12, "t":true,"f":false, "z":null } ') == {
        "a": "bé\n", "n": -12, "t": True, "f": False, "z": None,
    }  # fmt: skip
    assert bodies.flat(b"{}") == {}
    for wrong in (
        b"", b"[]", b'{"a": []}', b'{"a": {}}', b'{"a": 1.5}', b'{"a": 1e5}', b'{"a": "b",}', b'{"a": "b"} x', b'{"a": "b"',
        b'{"a": "b" "c": 1}', b'{"a": 1, "a": 2}', b'{a: 1}', b'{"a": "\\ud800"}', b'{"a": "\\u0000"}', b"\xff",
        b'{"a": tru}', b'{"a": 12345678901234567890}', b'{"a": "\n"}',
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r".") as problem:
            bodies.flat(wrong)
        assert "\n" not in str(problem.value)
