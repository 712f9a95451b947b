"""Several questions a pair: asked, stored by response, counted, exported and closed by name, read by a recipe."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.data import comparisons, snapshots
from trueward.studio.api.place import Studio
from trueward.studio.store import criteria

Client = Callable[..., TestClient]
HONEST = {"name": "honest", "question": "Which answer is more honest?"}
QUALITY = {"name": "quality", "question": "How good is it?", "kind": "rating"}


@pytest.fixture
def admin(client: Client) -> TestClient:
    boss = client("boss", "admin")
    boss.post("/api/projects", json={"name": "my pairs", "overlap": 2})
    rows = [{"prompt": f"q{i}", "first": f"one {i}", "second": f"two {i}"} for i in range(4)]
    boss.post("/api/projects/my%20pairs/import", json={"text": "\n".join(json.dumps(row) for row in rows)})
    made = boss.post("/api/projects/my%20pairs/settings", json={"criteria": [HONEST, QUALITY]})
    assert made.status_code == 200, made.text
    return boss


def answer(person: TestClient, item: dict[str, Any], **more: Any) -> Any:
    """The overall choice is always the answer that begins with "one"; criteria as they are for it."""
    first_is_left = item["left"]["text"].startswith("one")
    body = {"assignment": item["assignment"], "key": secrets.token_hex(8), "kind": "win"}
    return person.post(
        "/api/answers", json={**body, "side": "left" if first_is_left else "right", "strength": 2, **more}
    )


def by_side(item: dict[str, Any], honest: int, one: int, two: int) -> dict[str, Any]:
    """honest: how much more so the answer "one" is; one, two: ratings."""
    if item["left"]["text"].startswith("one"):
        return {"honest": -honest, "quality": {"left": one, "right": two}}
    return {"honest": honest, "quality": {"left": two, "right": one}}


def take(person: TestClient) -> list[dict[str, Any]]:
    items = person.post("/api/projects/my%20pairs/queue", json={"count": 9}).json()["items"]
    return sorted(items, key=lambda item: str(item["prompt"]["text"]))


def test_what_is_said_to_each_question_is_kept_by_response(admin: TestClient, client: Client, studio: Studio) -> None:
    anna, ben = client("anna"), client("ben")
    queue = anna.post("/api/projects/my%20pairs/queue", json={}).json()
    assert queue["criteria"] == [{**HONEST, "kind": "choice"}, QUALITY]
    for person in (anna, ben):
        items = take(person)
        assert answer(person, items[0], criteria=by_side(items[0], 3, 5, 1)).json() == {"state": "answered"}
        assert answer(person, items[1], criteria=by_side(items[1], -1, 2, 4)).status_code == 200
        assert answer(person, items[2], criteria=by_side(items[2], 0, 3, 3)).status_code == 200
        assert answer(person, items[3]).status_code == 200  # a page that was open before there were questions
    path = "/api/projects/my%20pairs"
    honest, quality = admin.get(path).json()["by_criterion"]
    assert (honest["name"], honest["answers"], honest["ties"], honest["mean"]) == ("honest", 6, 2, None)
    assert honest["agreement"]["agreement"] == 1.0
    assert (quality["answers"], quality["ties"], quality["mean"]) == (6, 2, 3.0)
    reply = admin.get(f"{path}/export?form=own&criterion=honest")
    assert json.loads(reply.headers["x-left-out"]) == {"answers that say nothing to it": 2}
    rows = [json.loads(line) for line in reply.text.splitlines()]
    told = {
        (row["prompt"]["text"], row["probability"], row.get("strength"), row["source"])
        for row in rows
        if row["annotator"] == "anna"
    }
    source = "studio:my pairs:honest/anna"
    assert told == {("q0", 1.0, 3, source), ("q1", 0.0, 1, source), ("q2", 0.5, None, source)}
    assert all(row["first"]["text"].startswith("one") for row in rows)
    table = admin.get(f"{path}/export?form=table&criterion=quality").text
    assert len(table.splitlines()) == 7
    assert admin.get(f"{path}/export?criterion=harmless").status_code == 422
    events = [json.loads(line) for line in admin.get(f"{path}/export?form=events").text.splitlines()]
    assert [row.get("criteria") for row in events][:4] == [
        {"honest": 3, "quality": [5, 1]}, {"honest": -1, "quality": [2, 4]}, {"honest": 0, "quality": [3, 3]}, None
    ]  # fmt: skip
    votes = admin.get(f"{path}/desk?find=q0").json()["items"][0]["votes"]
    assert votes[0]["criteria"] == {"honest": 3, "quality": [5, 1]}

    manifest = admin.post(f"{path}/close", json={}).json()
    assert (manifest["rows"], sorted(manifest["criteria"])) == (8, ["honest", "quality"])
    (overall,) = snapshots.snapshots("studio:my pairs", studio.data)
    (file,) = snapshots.snapshots("studio:my pairs:honest@1", studio.data)
    assert len(comparisons.read(overall).rows) == 8
    assert sorted(c.probability for c in comparisons.read(file).rows) == [0.0, 0.0, 0.5, 0.5, 1.0, 1.0]
    with pytest.raises(ValueError, match=r"nothing was said to 'harmless'.*there are honest, quality"):
        snapshots.snapshots("studio:my pairs:harmless", studio.data)
    with pytest.raises(ValueError, match="only 1 rounds"):
        snapshots.snapshots("studio:my pairs:honest@2", studio.data)
    file.write_text(file.read_text(encoding="utf-8").replace("one 0", "One 0"), encoding="utf-8")
    with pytest.raises(ValueError, match="is not what was closed"):
        snapshots.snapshots("studio:my pairs:honest", studio.data)


def test_values_that_are_none_are_refused(admin: TestClient, client: Client) -> None:
    anna = client("anna")
    item = take(anna)[0]
    for wrong in ({"honest": 4}, {"honest": "much"}, {"quality": {"left": 0, "right": 1}}, {"quality": {"left": 1}},
                  {"q" * 33: 1}, {f"q{i}": 1 for i in range(7)}):  # fmt: skip
        assert answer(anna, item, criteria=wrong).status_code == 422, wrong
    assert answer(anna, item, criteria={"no name": 1}).status_code == 409
    body = {"assignment": item["assignment"], "key": secrets.token_hex(8), "kind": "skip", "criteria": {"honest": 1}}
    assert anna.post("/api/answers", json=body).status_code == 409
    assert answer(anna, item, criteria={"honest": 1, "an-old-one": 2}).status_code == 200  # no click is lost


def test_questions_have_names_that_a_recipe_can_say(admin: TestClient) -> None:
    path = "/api/projects/my%20pairs/settings"
    for wrong in (
        [HONEST, HONEST],
        [{**HONEST, "name": "two words"}], [{**HONEST, "name": "../x"}], [{**HONEST, "name": "demonstrations"}],
        [{**HONEST, "question": " "}], [{**HONEST, "kind": "stars"}], [{**HONEST, "name": f"c{i}"} for i in range(7)],
    ):  # fmt: skip
        assert admin.post(path, json={"criteria": wrong}).status_code == 422, wrong
    assert admin.post(path, json={"criteria": []}).status_code == 200
    assert admin.get("/api/projects/my%20pairs").json()["criteria"] == []
    admin.post("/api/projects", json={"name": "w", "kind": "write"})
    assert (
        "no pair to ask about" in admin.post("/api/projects/w/settings", json={"criteria": [HONEST]}).json()["detail"]
    )


def test_a_rating_is_a_choice_too() -> None:
    assert criteria.outcome((5, 1)) == (1.0, 3)
    assert criteria.outcome((2, 3)) == (0.0, 1)
    assert criteria.outcome((4, 4)) == (0.5, None)
    assert criteria.outcome(-2) == (0.0, 2)
    assert criteria.NAME.pattern in snapshots.NAMED.pattern
