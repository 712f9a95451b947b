"""Several answers to a prompt, ranked: shown in an order of one's own, stored once, counted, reviewed, exported as pairs."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.data import comparisons, snapshots
from trueward.evaluation import annotators
from trueward.studio import reading
from trueward.studio.api.place import Studio
from trueward.studio.store import rankings

Client = Callable[..., TestClient]
Jsonl = Callable[[list[Any]], str]
PATH = "/api/projects/best%20of"
WORDS = ["tin", "silver", "gold", "bronze"]  # each answer begins with one of these
BEST = ["gold", "silver", "bronze", "tin"]


def slates(n: int) -> list[dict[str, Any]]:
    return [{"prompt": f"q{i}", "responses": [f"{word} {i}" for word in WORDS]} for i in range(n)]


@pytest.fixture
def admin(client: Client, jsonl: Jsonl) -> TestClient:
    boss = client("boss", "admin")
    assert boss.post("/api/projects", json={"name": "best of", "kind": "rank", "overlap": 2}).status_code == 200
    for added in (3, 0):
        reply = boss.post(f"{PATH}/import", json={"text": jsonl(slates(3))})
        assert reply.json() == {"read": 3, "left_out": {}, "added": added}
    return boss


def take(person: TestClient) -> list[dict[str, Any]]:
    items = person.post(f"{PATH}/queue", json={"count": 9}).json()["items"]
    return sorted(items, key=lambda item: str(item["prompt"]["text"]))


def ranks(answers: list[dict[str, Any]], order: list[str]) -> list[int]:
    """order: words from the best on; several in one text, with = between them, are equal."""
    places = {word: place for place, words in enumerate(order, 1) for word in words.split("=")}
    return [places[answer["text"].split()[0]] for answer in answers]


def rank(person: TestClient, item: dict[str, Any], order: list[str], **more: Any) -> Any:
    body = {"assignment": item["assignment"], "key": secrets.token_hex(8), "kind": "rank"}
    return person.post("/api/answers", json={**body, "ranks": ranks(item["answers"], order), **more})


def test_a_ranking_is_one_event_and_all_its_pairs(admin: TestClient, client: Client, studio: Studio) -> None:
    anna, ben = client("anna"), client("ben")
    assert anna.post(f"{PATH}/queue", json={}).json()["kind"] == "rank"
    mine, his = take(anna), take(ben)
    assert all(set(item) == {"assignment", "prompt", "answers"} for item in mine)
    key = secrets.token_hex(8)
    for _ in range(2):  # sent twice, stored once
        reply = rank(anna, mine[0], BEST, key=key, seconds=12.5, read=True, text="clear")
        assert reply.json() == {"state": "answered"}
    assert rank(anna, mine[1], ["gold", "silver=bronze", "tin"]).status_code == 200
    assert rank(ben, his[0], BEST).status_code == 200
    assert rank(ben, his[1], list(reversed(BEST))).status_code == 200
    skipped = {"assignment": mine[2]["assignment"], "key": secrets.token_hex(8), "kind": "skip", "reason": "no"}
    assert anna.post("/api/answers", json=skipped).json() == {"state": "skipped"}

    about = admin.get(PATH).json()
    assert (about["answers"], about["ties"], about["skipped"]) == (4, 1, 1)
    assert about["agreement"]["items"] == 12  # pairs of two items
    assert about["agreement"]["agreement"] == 0.5
    row = about["annotators"][0]
    assert (row["name"], row["answers"], row["seconds"], row["read"]) == ("anna", 2, 12.5, 1.0)

    exported = [json.loads(row) for row in admin.get(f"{PATH}/export").text.splitlines()]
    assert len(exported) == 4 * 6
    assert len({row["group"] for row in exported}) == 4
    reply = admin.get(f"{PATH}/export?form=rankings")
    assert json.loads(reply.headers["x-left-out"]) == {"rationales": 1}
    rows = [json.loads(row) for row in reply.text.splitlines()]
    assert [row["annotator"] for row in rows] == ["anna", "anna", "ben", "ben"]
    assert [dict(zip((text.split()[0] for text in row["responses"]), row["ranks"], strict=True)) for row in rows[:2]] == [
        {"gold": 1, "silver": 2, "bronze": 3, "tin": 4}, {"gold": 1, "silver": 2, "bronze": 2, "tin": 4}
    ]  # fmt: skip
    assert len(admin.get(f"{PATH}/export?form=csv").text.splitlines()) == 1 + 12
    events = [json.loads(row) for row in admin.get(f"{PATH}/export?form=events").text.splitlines()]
    assert [event["kind"] for event in events] == ["rank"] * 4 + ["skip"]
    assert len(events[0]["order"]) == 4
    assert sorted(events[0]["order"]) == sorted(events[0]["responses"])

    manifest = admin.post(f"{PATH}/close", json={}).json()
    assert (manifest["kind"], manifest["rows"], manifest["items"], manifest["votes_overruled"]) == ("rank", 24, 2, 0)
    (file,) = snapshots.snapshots("studio:best of", studio.data)
    made = comparisons.read(file).rows
    assert len(made) == 24
    assert sum(c.probability == 0.5 for c in made) == 1
    # the page's figures are those that the command finds in the file
    assert annotators.examine(made)["alpha"] == pytest.approx(about["agreement"]["alpha"], abs=1e-4)


def test_everybody_has_an_order_of_their_own(client: Client, jsonl: Jsonl) -> None:
    boss = client("boss", "admin")
    boss.post("/api/projects", json={"name": "best of", "kind": "rank", "overlap": 9})
    boss.post(f"{PATH}/import", json={"text": jsonl(slates(8))})
    first = []
    for i in range(9):
        person = client(f"person {i}")
        orders = [[answer["text"].split()[0] for answer in item["answers"]] for item in take(person)]
        assert orders == [[answer["text"].split()[0] for answer in item["answers"]] for item in take(person)]
        first += [order[0] for order in orders]
    assert all(5 <= first.count(word) <= 35 for word in WORDS)  # of 72: 18 of each; 5 and 35 are beyond 3.5 SD


def test_what_is_no_ranking_is_refused(admin: TestClient, client: Client) -> None:
    anna = client("anna")
    item = take(anna)[0]
    body = {"assignment": item["assignment"], "key": secrets.token_hex(8)}
    for wrong in ([1], [0, 1, 2, 3], [1, 2, 3, 10], [1] * 10, ["a"] * 4, 3):
        assert anna.post("/api/answers", json={**body, "kind": "rank", "ranks": wrong}).status_code == 422, wrong
    for wrong in ({"kind": "rank"}, {"kind": "rank", "ranks": [1, 2, 3]}, {"kind": "win", "side": "left"},
                  {"kind": "skip", "ranks": [1, 2, 3, 4]}, {"kind": "write", "text": "x"}):  # fmt: skip
        assert anna.post("/api/answers", json={**body, **wrong}).status_code == 409, wrong
    edit = {**body, "side": "left", "text": "better"}
    assert anna.post("/api/edits", json=edit).status_code == 409
    assert anna.get(f"{PATH}/taught").status_code == 404
    assert "people rank in it" in admin.post(
        f"{PATH}/settings", json={"criteria": [{"name": "honest", "question": "Which is?"}]}
    ).json()["detail"]  # fmt: skip
    assert rank(anna, item, BEST).json() == {"state": "answered"}


def test_an_undone_ranking_counts_no_more_and_can_be_given_anew(admin: TestClient, client: Client) -> None:
    anna = client("anna")
    item = take(anna)[0]
    rank(anna, item, BEST)
    back = anna.post(f"{PATH}/undo", json={"key": secrets.token_hex(8)}).json()["item"]
    assert back == item
    assert admin.get(f"{PATH}/export?form=votes").text == ""
    rank(anna, item, ["gold=silver=bronze=tin"])
    assert {json.loads(row)["probability"] for row in admin.get(f"{PATH}/export").text.splitlines()} == {0.5}


def test_reviewers_see_rankings_and_decide_over_them(admin: TestClient, client: Client) -> None:
    anna, ben = client("anna"), client("ben")
    for person, second in ((anna, BEST), (ben, list(reversed(BEST)))):
        items = take(person)
        rank(person, items[0], BEST)
        rank(person, items[1], second)
    page = admin.get(f"{PATH}/desk?status=split").json()
    (item,) = page["items"]
    assert item["prompt"]["text"] == "q1"
    assert [vote["ranks"] for vote in item["votes"]] == [
        ranks(item["answers"], BEST), ranks(item["answers"], list(reversed(BEST)))
    ]  # fmt: skip
    assert admin.get(f"{PATH}/desk?sort=disagreement").json()["items"][0]["prompt"]["text"] == "q1"
    assert admin.get(f"{PATH}/desk?find=silver 2").json()["total"] == 1
    assert admin.get(f"{PATH}/desk?find=platinum").json()["total"] == 0
    decision = {"item": item["item"], "key": secrets.token_hex(8)}
    for wrong in ({}, {"choice": "first"}, {"choice": "first", "ranks": [1, 2, 3, 4]}, {"ranks": [1, 2]}):
        assert admin.post(f"{PATH}/adjudicate", json={**decision, **wrong}).status_code in (409, 422), wrong
    places = ranks(item["answers"], ["silver", "gold", "bronze=tin"])
    reply = admin.post(f"{PATH}/adjudicate", json={**decision, "ranks": places, "reason": "so it is"}).json()
    assert (reply["decision"]["ranks"], reply["decision"]["by"]) == (places, "boss")
    rows = [json.loads(row) for row in admin.get(f"{PATH}/export?form=rankings").text.splitlines()]
    assert [row["source"] for row in rows] == [
        "studio:best of/anna", "studio:best of/ben", "studio:best of/boss, adjudicated"
    ]  # fmt: skip
    decided = dict(zip((text.split()[0] for text in rows[-1]["responses"]), rows[-1]["ranks"], strict=True))
    assert decided == {"silver": 1, "gold": 2, "bronze": 3, "tin": 3}
    manifest = admin.post(f"{PATH}/close", json={}).json()
    assert (manifest["adjudicated"], manifest["votes_overruled"], manifest["rows"]) == (1, 2, 18)


def test_all_layouts_of_several_answers_come_in(client: Client, jsonl: Jsonl) -> None:
    boss = client("boss", "admin")
    boss.post("/api/projects", json={"name": "best of", "kind": "rank"})
    given = [
        {"prompt": "ranked", "responses": ["a", "b", "c"], "ranks": [3, 1, 2]},
        {"prompt": "scored", "responses": ["a", "b", "c"], "scores": [0.1, 0.5, 0.3]},
        {"prompt": "bare", "responses": ["a", "b", "c"]},
        {"prompt": "too many", "responses": [f"answer {i}" for i in range(10)]},
    ]
    preview = boss.post(f"{PATH}/preview", json={"text": jsonl(given)}).json()
    assert (preview["read"], preview["new"], preview["problem"]) == (3, 3, None)
    assert preview["left_out"] == {"more than 9 answers": 1}
    assert preview["examples"][0] == {"prompt": {"text": "ranked"}, "answers": ["a", "b", "c"]}
    # of pairs all answers to a prompt are one item
    pairs = [{"prompt": "p", "chosen": "a", "rejected": b} for b in "bcd"] + [
        {"prompt": "q", "chosen": "x", "rejected": "y"}
    ]
    reply = boss.post(f"{PATH}/import", json={"text": jsonl(pairs)}).json()
    assert (reply["read"], reply["added"]) == (2, 2)
    items = take(client("anna"))
    assert sorted(len(item["answers"]) for item in items) == [2, 4]
    refused = boss.post(f"{PATH}/import", json={"text": jsonl(given), "checks": True})
    assert (refused.status_code, "people rank several here" in refused.json()["detail"]) == (422, True)


def test_known_data_sets_of_rankings_come_in(tmp_path: Path, jsonl: Jsonl) -> None:
    nectar = [{"prompt": "\n\nHuman: hi\n\nAssistant: ", "answers": [{"answer": f"a{i}", "rank": i + 1.0, "model": "m"} for i in range(7)], "turns": 1, "num_responses": 7, "source": ["x"], "good_natured": True}]  # fmt: skip  # noqa: E501
    path = tmp_path / "nectar.jsonl"
    path.write_text(jsonl(nectar), encoding="utf-8")
    (item,) = reading.read(path, "nectar.jsonl", "rank", False).slates
    assert [side.text for side in item.responses] == [f"a{i}" for i in range(7)]


def test_one_order_has_one_way_to_be_written() -> None:
    order = [2, 0, 1]  # the answer with place 2 is shown first
    assert rankings.stored([1, 5, 5], order) == rankings.stored([3, 7, 7], order) == "[2, 2, 1]"
    assert rankings.in_order("[2, 2, 1]", order) == [1, 2, 2]
    assert rankings.alike(["[1, 2, 3]"]) is None
    assert rankings.alike(["[1, 2, 3]", "[1, 3, 2]"]) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="one for each of the 3 answers, got 2"):
        rankings.stored([1, 2], order)
