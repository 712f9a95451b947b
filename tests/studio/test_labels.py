"""A model's labels: beside people's votes, told apart from them, never among them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.data import comparisons as compared
from trueward.data import snapshots
from trueward.studio.api.place import Studio
from trueward.studio.store import queue

Client = Callable[..., TestClient]
Jsonl = Callable[[list[Any]], str]


def pair(i: int, **more: Any) -> dict[str, Any]:
    return {"prompt": f"prompt {i}", "first": f"one {i}", "second": f"two {i}", **more}


def side(item: dict[str, Any], starts: str) -> str:
    return "left" if item["left"]["text"].startswith(starts) else "right"


def people(client: Client, jsonl: Jsonl) -> TestClient:
    """Four pairs; anna prefers "one" always, ben but for the last; a check pair that both get right."""
    admin = client("boss", "admin")
    admin.post("/api/projects", json={"name": "p", "overlap": 2})
    admin.post("/api/projects/p/import", json={"text": jsonl([pair(i) for i in range(4)])})
    check = {"prompt": "2 + 2", "chosen": "one: 4", "rejected": "two: 5"}
    admin.post("/api/projects/p/import", json={"text": jsonl([check]), "checks": True})
    for name in ("anna", "ben"):
        one = client(name)
        for item in one.post("/api/projects/p/queue", json={"count": 9}).json()["items"]:
            want = "two" if name == "ben" and item["prompt"].get("text") == "prompt 3" else "one"
            click = {"assignment": item["assignment"], "key": f"{name}-{item['assignment']}", "kind": "win"}
            assert one.post("/api/answers", json={**click, "side": side(item, want)}).status_code == 200
    return admin


def labels() -> list[dict[str, Any]]:
    """Of the judge: right with both people twice, once against both, once with ben; the check pair wrong; a new pair."""
    said = [pair(0, probability=0.9), pair(1, probability=0.8), pair(2, probability=0.3)]
    turned = {
        "prompt": "prompt 3",
        "first": "two 3",
        "second": "one 3",
        "probability": 0.6,
    }  # sides the other way round
    check = {"prompt": "2 + 2", "first": "two: 5", "second": "one: 4", "probability": 0.7}
    return [*said, turned, check, pair(9, probability=1.0)]


def test_labels_stand_beside_people_and_count_as_nobody(client: Client, studio: Studio, jsonl: Jsonl) -> None:
    admin = people(client, jsonl)
    before = admin.get("/api/projects/p").json()
    assert before["judges"] == []
    reply = admin.post("/api/projects/p/import", json={"text": jsonl(labels()), "judge": "model-x"}).json()
    assert (reply["read"], reply["added"], reply["labels"]) == (6, 1, 6)
    again = admin.post("/api/projects/p/import", json={"text": jsonl(labels()), "judge": "model-x"}).json()
    assert (again["added"], again["labels"]) == (0, 0)
    after = admin.get("/api/projects/p").json()
    (judge,) = after["judges"]
    assert (judge["name"], judge["labels"], judge["items"], judge["checks"]) == ("model-x", 6, 4, 1)
    assert judge["agreement"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert judge["accuracy"] == 0.0
    for key in ("answers", "annotators", "agreement", "ties", "skipped"):
        assert after[key] == before[key], key
    # nothing of it is in a round, in the log or in people's export; it has an export of its own
    manifest = admin.post("/api/projects/p/close", json={}).json()
    assert manifest["rows"] == 8
    rows = compared.read(snapshots.snapshots("studio:p", studio.data)[0]).rows
    assert {(row.annotator, row.source) for row in rows} == {("anna", "studio:p/anna"), ("ben", "studio:p/ben")}
    for form in ("own", "events", "csv"):
        assert "model-x" not in admin.get(f"/api/projects/p/export?form={form}").text
    own = [json.loads(row) for row in admin.get("/api/projects/p/export?form=judges").text.splitlines()]
    assert {(row["annotator"], row["source"]) for row in own} == {("model-x", "judge")}
    assert sorted(row["probability"] for row in own) == pytest.approx([0.3, 0.3, 0.4, 0.8, 0.9, 1.0])


def test_what_a_recipes_judge_wrote_is_known_by_its_source(client: Client, jsonl: Jsonl) -> None:
    admin = people(client, jsonl)
    prompt = {"text": "prompt 0"}
    sides = {name: {"id": text, "text": text} for name, text in (("first", "one 0"), ("second", "two 0"))}
    rows = [{"prompt": prompt, **sides, "probability": 0.7, "source": "judge"}]
    rows += [{**rows[0], "annotator": "model-y", "probability": 0.2}]
    rows += [{**rows[0], "source": "anna's own", "annotator": "anna"}]  # a person's: a pair, and no label
    reply = admin.post("/api/projects/p/import", json={"text": jsonl(rows)}).json()
    assert (reply["added"], reply["labels"]) == (0, 2)
    judges = {row["name"]: row["agreement"] for row in admin.get("/api/projects/p").json()["judges"]}
    assert judges == {"judge": 1.0, "model-y": 0.0}


def test_labels_that_say_nothing_and_check_pairs_by_a_model_are_refused(client: Client, jsonl: Jsonl) -> None:
    admin = people(client, jsonl)
    bare = admin.post("/api/projects/p/import", json={"text": jsonl([pair(1)]), "judge": "x"})
    assert bare.status_code == 422
    assert "needs an outcome" in bare.json()["detail"]
    body = {"text": jsonl(labels()), "judge": "x", "checks": True}
    assert "no check pair" in admin.post("/api/projects/p/import", json=body).json()["detail"]


def test_annotators_see_nothing_of_it(client: Client, jsonl: Jsonl) -> None:
    admin = people(client, jsonl)
    admin.post("/api/projects/p/import", json={"text": jsonl(labels()), "judge": "model-x"})
    chloe = client("chloe")
    seen = chloe.post("/api/projects/p/queue", json={"count": queue.MOST}).text
    seen += chloe.get("/api/projects").text
    assert "model-x" not in seen
    assert "probability" not in seen
    assert chloe.get("/api/projects/p").status_code == 403


def test_check_pairs_go_out_by_themselves(client: Client, jsonl: Jsonl) -> None:
    """With whom they were put to and what is right: what `trueward comparisons agree` examines people by."""
    admin = people(client, jsonl)
    assert len(admin.get("/api/projects/p/export?form=own").text.splitlines()) == 8
    rows = [json.loads(row) for row in admin.get("/api/projects/p/export?form=checks").text.splitlines()]
    assert [(row["annotator"], row["check"], row["probability"]) for row in rows] == [
        ("anna", "first", 1.0),
        ("ben", "first", 1.0),
    ]
