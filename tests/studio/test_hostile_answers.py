"""A model's hostile answers through every answer and export of the studio: kept as they are, and obeyed by nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.data import comparisons as compared
from trueward.records import Prompt, Response
from trueward.studio.api.place import Studio
from trueward.studio.store import projects

Client = Callable[..., TestClient]
HOSTILE = {
    "markup": "<img src=x onerror=alert(1)><script>alert(1)</script></textarea>${7*7}{{7*7}}",
    "a terminal's": "\x1b]0;owned\x07\x1b[2J\x9b31m\b\b\b",
    "direction": "\u202eevil\u2066\u200f\u061c",
    "ends of lines": "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg\r\n\rh",
    "NUL": "a\0b\0",
    "a mark of our own": "\U0010ffff0\U0010ffff\0",
    "no character": "\ufffe\uffff\ufeff\U0001fffe",
    "combining": "Z" + "\u0301\u0489" * 500,
    "formulas": "=cmd|' /C calc'!A0",
    "a header": '"; filename="evil.exe"\r\nset-cookie: trueward=x',
    "JSON": '"}\n{"prompt": "another row"}\n',
    "CSV": '",,,"\r\n=1+1,"',
    "one long line": "x" * 100_000,
    "emptiness": " \t\u200b\u3164",
    "SQL": "'); DROP TABLE event; --",
    "a key's name": "__proto__ constructor $ref",
}
FORMS = ("own", "trl", "trl-implicit", "hh", "csv", "events", "checks", "judges")


def in_order() -> list[str]:
    """Texts in the order of their prompts in a CSV, whose apostrophes aside."""
    return sorted(HOSTILE.values(), key=lambda text: f"{text}?".lstrip("'"))


@pytest.fixture
def judged(client: Client, studio: Studio) -> TestClient:
    """A project whose every pair is hostile, judged by somebody with a hostile note; an admin."""

    def work(connection: Any) -> None:
        projects.create(connection, "p", instructions=HOSTILE["markup"])
        made = [
            projects.pair(Prompt(text=f"{text}?"), (text, f"{text}!"), (name, "<b>"), (True, False))
            for name, text in HOSTILE.items()
        ]
        assert projects.add_pairs(connection, projects.get(connection, "p"), made) == len(HOSTILE)

    studio.database.write(work)
    admin, anna = client("boss", "admin"), client("anna")
    rows = [
        {"prompt": {"text": f"{name} {text}"}, "first": {"id": "1", "text": text}, "second": {"id": "2", "text": "b"},
         "probability": 1.0, "source": text}
        for name, text in HOSTILE.items() if len(text) < 1000
    ]  # fmt: skip
    text = "".join(json.dumps(row) + "\n" for row in rows)
    body = {"text": text, "name": "\x1b[2J<b>.jsonl"}
    assert admin.post("/api/projects/p/import", json={**body, "checks": True}).json()["added"] == len(rows)
    assert admin.post("/api/projects/p/import", json={**body, "judge": "=a\u202e judge"}).json()["labels"] == len(rows)
    for turn in range(200):
        reply = anna.post("/api/projects/p/queue", json={"count": 20})
        assert reply.status_code == 200
        items = reply.json()["items"]
        for i, item in enumerate(items):
            note = [text for text in HOSTILE.values() if "\0" not in text and len(text) < 5000][(turn + i) % 12]
            body = {"assignment": item["assignment"], "key": f"key {turn:04} {i:04}", "kind": "win", "side": "left"}
            assert anna.post("/api/answers", json={**body, "text": note}).status_code == 200
        if not items:
            break
    assert {row["text"] for row in anna.get("/api/projects/p/mine").json()} <= set(HOSTILE.values())
    return admin


def test_every_export_and_page_holds_them_as_they_are(judged: TestClient, tmp_path: Path) -> None:
    texts: dict[str, str] = {}
    for form in FORMS:
        reply = judged.get(f"/api/projects/p/export?form={form}")
        assert reply.status_code == 200, form
        assert reply.headers["content-disposition"].count("filename") == 1
        assert "set-cookie" not in reply.headers
        assert reply.headers["content-type"].startswith(("application/x-ndjson", "text/csv"))
        texts[form] = reply.content.decode()
        if form != "csv":
            for row in texts[form].split("\n")[:-1]:  # each one line of one JSON object
                assert isinstance(json.loads(row), dict), form
    path = tmp_path / "own.jsonl"
    path.write_bytes(texts["own"].encode())
    rows = compared.read(path).rows
    assert {row.first.text for row in rows} == set(HOSTILE.values())
    table = list(csv.DictReader(io.StringIO(texts["csv"], newline="")))
    assert len(table) == len(HOSTILE)
    for row, text in zip(sorted(table, key=lambda row: row["prompt"].lstrip("'")), in_order(), strict=True):
        assert row["first"] in (text, f"'{text}")
    assert all(None not in row for row in table)  # no row has more cells than the head
    for address in ("/api/projects", "/api/projects/p", "/api/projects/p/answers"):
        reply = judged.get(address)
        assert reply.status_code == 200, address
        assert "json" in reply.headers["content-type"]


def test_a_closed_round_of_them_is_read_back(judged: TestClient, studio: Studio) -> None:
    from trueward.data import snapshots

    assert judged.post("/api/projects/p/close", json={}).json()["rows"] == len(HOSTILE)
    rows = compared.read(snapshots.snapshots("studio:p", studio.data)[0]).rows
    assert {row.first.text for row in rows} == set(HOSTILE.values())


def test_a_run_s_questions_come_in_and_an_unkeepable_one_blocks_no_page(client: Client, studio: Studio) -> None:
    folder = studio.data / "asked" / "p"
    folder.mkdir(parents=True)
    rows = [
        {
            "prompt": {"text": f"q {i}"},
            "first": {"id": f"a{i}", "text": text},
            "second": {"id": f"b{i}", "text": f"{text} "},
        }
        for i, text in enumerate(HOSTILE.values())
    ]
    (folder / "one.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    bad = {"prompt": {"text": "q"}, "first": {"id": "a\0", "text": "a"}, "second": {"id": "x" * 900, "text": "b"}}
    (folder / "two.jsonl").write_text(json.dumps(bad) + "\n")
    admin = client("boss", "admin")
    reply = admin.get("/api/projects")
    assert reply.status_code == 200
    assert reply.json()[0]["mine"]["left"] == len(HOSTILE)
    assert [path.name for path in studio.inbox.refused] == ["two.jsonl"]


def test_samples_go_to_compare(client: Client, studio: Studio) -> None:
    run = studio.runs.home / "r\u202e<b>"
    (run / "policy").mkdir(parents=True)
    (run / "recipe.toml").write_text("name = 'x'\n")
    rows = [{"step": 1, "prompt": f"{text}?", "reference": text, "response": f"{text}!"} for text in HOSTILE.values()]
    lines = (
        "".join(json.dumps(row) + "\n" for row in rows)
        + '{"step": 1, "prompt": "\\ud800", "reference": "a", "response": "b"}\n'
    )
    (run / "policy" / "samples.jsonl").write_text(lines)
    admin = client("boss", "admin")
    admin.post("/api/projects", json={"name": "p"})
    name = "r\u202e<b>"
    assert admin.get("/api/runs").json()[0]["name"] == name
    assert len(admin.get(f"/api/runs/{name}/samples").json()["samples"]) == len(rows) + 1
    for i in range(len(rows) + 1):
        reply = admin.post(f"/api/runs/{name}/pairs", json={"project": "p", "step": 1, "index": i})
        assert reply.json() == {"added": 1}, i
    sent = {Response(id="x", text=row["response"]).text for row in rows}
    items = [item for _ in range(1) for item in admin.post("/api/projects/p/queue", json={"count": 20}).json()["items"]]
    assert sent <= {side["text"] for item in items for side in (item["left"], item["right"])}
