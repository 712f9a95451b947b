"""Links for panels: an account from the link, one project, so many items, a code at the end, Prolific's values kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.records import Prompt
from trueward.studio.api.place import Studio
from trueward.studio.store import projects

Client = Callable[..., TestClient]
ANNA = {"participant": "5f1a", "study": "st", "session": "se"}


@pytest.fixture
def boss(client: Client, studio: Studio) -> TestClient:
    def fill(connection: Any) -> None:
        for name in ("film", "other"):
            projects.create(connection, name)
            pairs = [
                projects.pair(Prompt(text=f"{name} {i}"), ("a", "b"), ("sft", "policy"), (True, True)) for i in range(7)
            ]
            projects.add_pairs(connection, projects.get(connection, name), pairs)
        projects.create(connection, "essay", "write")

    studio.database.write(fill)
    return client("boss", "admin")


def link(boss: TestClient, **more: Any) -> str:
    reply = boss.post("/api/projects/film/panels", json={"items": 3, "places": 2, "code": "C0DE", **more})
    assert reply.status_code == 200, reply.text
    return str(reply.json()["key"])


def opened(one: TestClient, key: str, **who: str) -> Any:
    return one.post("/api/panel", json={"key": key, **who})


def judge(one: TestClient, most: int = 100, kind: str = "tie") -> dict[str, Any]:
    """Up to so many items; the last reply of the queue."""
    for k in range(most + 1):
        reply = one.post("/api/projects/film/queue", json={"count": 6})
        assert reply.status_code == 200, reply.text
        if k == most or not reply.json()["items"]:
            break
        item = reply.json()["items"][0]
        assert set(item) == {"assignment", "prompt", "left", "right"}, "nothing tells who wrote what"
        assert set(item["left"]) == {"text", "finished"}
        body = {"assignment": item["assignment"], "key": item["assignment"][:16], "kind": kind}
        body |= {"reason": "no idea"} if kind == "skip" else {}
        assert one.post("/api/answers", json=body).status_code == 200
    return dict(reply.json())


def test_a_sitting_from_the_link_to_the_code(boss: TestClient, client: Client) -> None:
    key, anna = link(boss, redirect="https://app.prolific.com/submissions/complete?cc=C0DE"), client()
    assert opened(anna, key, **ANNA).status_code == 200
    account = anna.get("/api/me").json()["account"]
    assert (account["role"], account["project"]) == ("panelist", "film")
    assert "5f1a" not in account["name"], "who they are elsewhere stands on no page"
    at = judge(anna, 1)
    assert at["progress"] == {"done": 1, "left": 2}
    assert len(at["items"]) == 2, "no more than their part, however many are asked for"
    assert "completed" not in at
    end = judge(anna)
    assert end["completed"] == {
        "items": 3,
        "code": "C0DE",
        "redirect": "https://app.prolific.com/submissions/complete?cc=C0DE",
    }
    (row,) = boss.get("/api/projects/film/panels").json()
    assert (row["begun"], row["completed"], row["places"]) == (1, 1, 2)
    assert "key" not in row
    events = [json.loads(line) for line in boss.get("/api/projects/film/export?form=events").text.splitlines()]
    assert [{k: e.get(k) for k in ANNA} for e in events] == [ANNA] * 3
    assert account["name"] in {e["account"] for e in events}
    votes = boss.get("/api/projects/film/export?form=own").text
    assert "5f1a" not in votes, "training needs nobody's number"


def test_it_goes_on_where_it_broke_off(boss: TestClient, client: Client) -> None:
    key, anna = link(boss), client()
    opened(anna, key, **ANNA)
    judge(anna, 2)
    name = anna.get("/api/me").json()["account"]["name"]
    assert opened(anna, key, **ANNA).status_code == 200  # reloaded
    phone = client()
    assert opened(phone, key, **ANNA).status_code == 200  # the same session elsewhere
    assert {one.get("/api/me").json()["account"]["name"] for one in (anna, phone)} == {name}
    assert judge(phone)["completed"]["items"] == 3
    taken = opened(client(), key, **{**ANNA, "session": "another"})
    assert (taken.status_code, taken.json()["detail"]) == (409, "this participant has begun in another session")


def test_a_panel_that_names_nobody(boss: TestClient, client: Client) -> None:
    key = link(boss)
    one, other = client(), client()
    for each in (one, one, other):
        assert opened(each, key).status_code == 200
    names = [each.get("/api/me").json()["account"]["name"] for each in (one, other)]
    assert len(set(names)) == 2
    assert boss.get("/api/projects/film/panels").json()[0]["begun"] == 2, "a page that is loaded again is one sitting"


def test_pairs_that_run_out_and_places_that_are_taken(boss: TestClient, client: Client) -> None:
    key = link(boss, items=5)
    one, other, third = client(), client(), client()
    opened(one, key, participant="1")
    opened(other, key, participant="2")
    full = opened(third, key, participant="3")
    assert (full.status_code, full.json()["detail"]) == (409, "this study is full")
    assert judge(one)["completed"]["items"] == 5
    assert judge(other)["completed"] == {"items": 2, "code": "C0DE", "redirect": ""}, "seven pairs: two were left"
    key = link(boss)
    assert opened(third, key).status_code == 200
    assert judge(third)["completed"] == {"items": 0, "code": "", "redirect": ""}, "no work, no code"


def test_a_link_is_closed_for_new_people_alone(boss: TestClient, client: Client) -> None:
    key, anna = link(boss), client()
    opened(anna, key, **ANNA)
    (row,) = boss.get("/api/projects/film/panels").json()
    assert boss.post(f"/api/panels/{row['id']}/active", json={"active": False}).status_code == 200
    assert opened(client(), key).json()["detail"] == "this study is closed"
    assert judge(anna)["completed"]["items"] == 3
    assert boss.post("/api/panels/77/active", json={"active": False}).status_code == 404


def test_who_comes_by_a_link_sees_one_project_and_nothing_else(boss: TestClient, client: Client) -> None:
    key, anna = link(boss), client()
    opened(anna, key, **ANNA)
    assert anna.post("/api/projects/other/queue", json={"count": 3}).status_code == 404
    for path in (
        "projects",
        "projects/film",
        "projects/film/panels",
        "projects/film/answers",
        "accounts",
        "runs",
        "tokens",
    ):
        assert anna.get(f"/api/{path}").status_code == 403, path
    for path, body in (
        ("tokens", {"label": "x"}),
        ("password", {"password": "long enough 1"}),
        ("projects/film/panels", {"items": 1, "places": 1}),
        ("projects/film/close", {}),
    ):
        assert anna.post(f"/api/{path}", json=body).status_code == 403, path
    assert not any(row["name"].startswith("panel") for row in boss.get("/api/accounts").json())
    assert anna.get("/panel/whatever?PROLIFIC_PID=1").status_code == 200


def test_links_that_can_not_be(boss: TestClient, client: Client) -> None:
    for body, said in (
        ({"redirect": "http://example.org"}, "redirect: expected an address such as https://"),
        ({"redirect": "javascript:alert(1)"}, "redirect: expected an address such as https://"),
        ({"items": 0}, "items"),
        ({"places": 10_001}, "places"),
    ):
        reply = boss.post("/api/projects/film/panels", json={"items": 3, "places": 2, **body})
        assert reply.status_code == 422
        assert said in reply.text
    reply = boss.post("/api/projects/essay/panels", json={"items": 3, "places": 2})
    assert (reply.status_code, "one to write in" in reply.text) == (422, True)
    assert boss.post("/api/projects/nowhere/panels", json={"items": 3, "places": 2}).status_code == 404
    assert client("eve", "viewer").post("/api/projects/film/panels", json={"items": 3, "places": 2}).status_code == 403


def test_keys_can_not_be_guessed_at_leisure(client: Client) -> None:
    stranger = client()
    codes = [opened(stranger, f"guess {k}").status_code for k in range(21)]
    assert codes[:20] == [404] * 20
    assert codes[20] == 429
