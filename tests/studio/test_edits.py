"""Answers that people made better: a demonstration and a comparison each, in exports and closed rounds."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

from starlette.testclient import TestClient

from trueward.data import comparisons, loading, snapshots
from trueward.studio.api.place import Studio

Client = Callable[..., TestClient]


def fill(admin: TestClient) -> None:
    admin.post("/api/projects", json={"name": "p"})
    rows = [{"prompt": f"q{i}", "first": f"one {i}", "second": f"two {i}"} for i in range(3)]
    admin.post("/api/projects/p/import", json={"text": "\n".join(json.dumps(row) for row in rows)})


def edit(person: TestClient, item: dict[str, Any], text: str, **more: Any) -> Any:
    side = "left" if item["left"]["text"].startswith("one") else "right"
    body = {"assignment": item["assignment"], "key": secrets.token_hex(8), "side": side, "text": text}
    return person.post("/api/edits", json={**body, **more})


def vote(person: TestClient, item: dict[str, Any]) -> None:
    body = {"assignment": item["assignment"], "key": secrets.token_hex(8), "kind": "win", "side": "left"}
    assert person.post("/api/answers", json=body).status_code == 200


def test_a_better_answer_is_a_demonstration_and_a_comparison(client: Client, studio: Studio) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    fill(admin)
    items = anna.post("/api/projects/p/queue", json={"count": 3}).json()["items"]
    key = secrets.token_hex(8)
    for _ in range(2):  # sent twice, stored once
        assert edit(anna, items[0], "first try", key=key).json() == {"state": "edited"}
    assert edit(anna, items[0], "one, better").json() == {"state": "edited"}
    assert edit(anna, items[1], "excluded later").status_code == 200
    assert edit(anna, items[2], "nobody has judged it").status_code == 200
    for item in items[:2]:
        vote(anna, item)
    page = admin.get("/api/projects/p/desk").json()["items"]
    assert {each["text"] for item in page for each in item["edits"]} >= {"one, better", "excluded later"}
    vote_id = next(v["assignment"] for item in page for v in item["votes"] if v["assignment"] == items[1]["assignment"])
    admin.post("/api/exclude", json={"assignment": vote_id, "reason": "a test"})
    prompt = items[0]["prompt"]["text"]
    shown = admin.get("/api/projects/p/export?form=demonstrations").text.splitlines()
    assert [json.loads(row) for row in shown] == [{"prompt": prompt, "completion": "one, better"}]
    rows = [json.loads(row) for row in admin.get("/api/projects/p/export").text.splitlines()]
    assert [row["source"] for row in rows] == ["studio:p/anna", "studio:p/anna, edited"]
    assert "edited" not in admin.get("/api/projects/p/export?form=votes").text

    manifest = admin.post("/api/projects/p/close", json={}).json()
    assert (manifest["rows"], manifest["edited"], manifest["votes_overruled"]) == (2, 1, 0)
    (file,) = snapshots.snapshots("studio:p", studio.data)
    made = comparisons.read(file).rows[-1]
    assert (made.first.text, made.probability, made.annotator) == ("one, better", 1.0, "anna")
    assert made.second.text.startswith("one ")
    (file,) = snapshots.snapshots("studio:p:demonstrations", studio.data)
    (row,) = loading.demonstrations(str(file)).rows
    assert (row.prompt.text, row.response) == (prompt, "one, better")
    assert edit(anna, items[0], "too late").json() == {"state": "surplus"}
    assert "too late" not in admin.get("/api/projects/p/export").text
    vote(anna, items[2])  # its item went on with what was written about it
    assert "nobody has judged it" in admin.get("/api/projects/p/export").text


def test_what_is_no_better_answer_is_refused(client: Client) -> None:
    admin, anna, ben = client("boss", "admin"), client("anna"), client("ben")
    fill(admin)
    item = anna.post("/api/projects/p/queue", json={"count": 1}).json()["items"][0]
    mine = "left" if item["left"]["text"].startswith("one") else "right"
    assert edit(anna, item, item[mine]["text"]).status_code == 409
    assert edit(anna, item, "  ").status_code == 409
    assert edit(anna, item, "").status_code == 422
    assert edit(ben, item, "not his").status_code == 409
    assert edit(anna, {**item, "assignment": "0" * 32}, "nothing").status_code == 409
    assert client("eve", "viewer").post("/api/edits", json={}).status_code == 403
