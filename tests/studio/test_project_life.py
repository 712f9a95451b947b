"""The life of a project, and of those who work in it: settings, archive, assigned people, links, sessions."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select, update
from starlette.testclient import TestClient

from trueward.records import Prompt, Response
from trueward.studio.api.place import COOKIE, Studio
from trueward.studio.store import accounts, inbox, projects, settings
from trueward.studio.store import tables as t
from trueward.studio.store.projects import Pair

Client = Callable[..., TestClient]
QUEUE = "/api/projects/p/queue"


def fill(admin: TestClient, n: int = 3, overlap: int = 2) -> None:
    assert admin.post("/api/projects", json={"name": "p", "overlap": overlap}).status_code == 200
    rows = [{"prompt": f"q{i}", "first": f"one {i}", "second": f"two {i}"} for i in range(n)]
    admin.post("/api/projects/p/import", json={"text": "\n".join(json.dumps(row) for row in rows)})


def change(admin: TestClient, **values: Any) -> Any:
    return admin.post("/api/projects/p/settings", json=values)


def take(person: TestClient) -> list[dict[str, Any]]:
    return list(person.post(QUEUE, json={"count": 20}).json()["items"])


def click(person: TestClient, item: dict[str, Any]) -> str:
    body = {
        "assignment": item["assignment"],
        "key": secrets.token_hex(8),
        "kind": "win",
        "side": "left",
        "seconds": 6.0,
    }
    return str(person.post("/api/answers", json=body).json()["state"])


def test_the_overlap_of_the_open_round_goes_up_and_down(client: Client) -> None:
    admin, anna, ben = client("boss", "admin"), client("anna"), client("ben")
    fill(admin)
    for person in (anna, ben):
        for item in take(person):
            assert click(person, item) == "answered"
    assert take(client("chloe")) == []
    assert admin.get("/api/projects/p").json()["rounds"][-1]["needed"] == 6
    assert change(admin, overlap=3).status_code == 200
    assert admin.get("/api/projects/p").json()["rounds"][-1]["needed"] == 9
    dora = client("dora")
    assert len(take(dora)) == 3
    assert change(admin, overlap=1).status_code == 200  # what three hold or have answered stays with them
    assert take(client("eve")) == []
    assert all(click(dora, item) == "answered" for item in take(dora))
    page = admin.get("/api/projects/p").json()
    assert (page["overlap"], page["answers"], page["rounds"][-1]["needed"]) == (1, 9, 3)
    assert anna.post("/api/projects/p/undo", json={"key": secrets.token_hex(8)}).status_code == 200
    assert take(client("finn")) == []  # two others have answered it, and one is enough now
    assert change(admin, overlap=101).status_code == 422
    assert change(admin).status_code == 422


def test_an_import_of_its_own_overlap_keeps_it(client: Client) -> None:
    admin = client("boss", "admin")
    fill(admin)
    more = {"prompt": "q9", "first": "a", "second": "b"}
    admin.post("/api/projects/p/import", json={"text": json.dumps(more), "overlap": 5})
    change(admin, overlap=3)
    assert admin.get("/api/projects/p").json()["rounds"][-1]["needed"] == 3 * 3 + 5


def test_reasons_to_skip_are_the_projects_own(client: Client) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    fill(admin)
    usual = anna.post(QUEUE, json={}).json()["skip_reasons"]
    assert usual == list(settings.SKIP_REASONS)
    assert change(admin, skip_reasons=[" Not Danish ", "Not Danish", "Rude"]).status_code == 200
    assert anna.post(QUEUE, json={}).json()["skip_reasons"] == ["Not Danish", "Rude"]
    assert admin.get("/api/projects/p").json()["skip_reasons"] == ["Not Danish", "Rude"]
    for wrong in ([], [""], ["x" * 101], ["x"] * 10):
        assert change(admin, skip_reasons=wrong).status_code == 422
    assert change(admin, skip_reasons=None).status_code == 200
    assert anna.post(QUEUE, json={}).json()["skip_reasons"] == usual


def test_nobody_works_in_an_archived_project_and_no_click_is_lost(client: Client, studio: Studio) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    fill(admin)
    held = take(anna)
    assert change(admin, archived=True).status_code == 200
    assert anna.get("/api/projects").json() == []
    refused = anna.post(QUEUE, json={})
    assert (refused.status_code, refused.json()["detail"]) == (409, "p is archived: nobody works in it any more")
    assert click(anna, held[0]) == "answered"  # it was made before, or on the way
    (row,) = admin.get("/api/projects").json()
    assert row["archived"] == pytest.approx(time.time(), abs=100)
    assert "mine" not in row
    assert admin.get("/api/projects/p/export").text.count("\n") == 1  # and all of it is still there
    pair = Pair(Prompt(text="new"), Response(id="a", text="a"), Response(id="b", text="b"))
    studio.database.write(lambda c: inbox.put(c, "p", [pair]))  # a run asks people, and waits for them
    assert len(anna.get("/api/projects").json()) == 1
    assert len(take(anna)) == 3


def test_only_those_who_are_assigned_work_in_a_project(client: Client) -> None:
    admin, anna, ben = client("boss", "admin"), client("anna"), client("ben")
    client("eve", "viewer")
    fill(admin)
    assert change(admin, assigned=["ben"]).status_code == 200
    assert anna.get("/api/projects").json() == []
    assert [row["name"] for row in ben.get("/api/projects").json()] == ["p"]
    refused = anna.post(QUEUE, json={})
    assert (refused.status_code, refused.json()["detail"]) == (403, "others are assigned to p")
    assert len(take(ben)) == 3
    assert len(take(admin)) == 3  # an admin may do everything
    assert "there is no account 'nobody'" in change(admin, assigned=["nobody"]).json()["detail"]
    assert "eve can only watch" in change(admin, assigned=["eve"]).json()["detail"]
    assert change(admin, assigned=[]).status_code == 200
    assert len(take(anna)) == 0  # two people hold each item
    assert len(anna.get("/api/projects").json()) == 1


def test_progress_and_speed_by_annotator(client: Client) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    client("zoe")
    fill(admin)
    change(admin, assigned=["anna", "zoe"])
    for item in take(anna)[:2]:
        click(anna, item)
    one, other = admin.get("/api/projects/p").json()["annotators"]
    assert (one["name"], one["round"], one["answers"], one["seconds"], one["per_hour"]) == ("anna", 2, 2, 6.0, 600.0)
    assert one["last"] == pytest.approx(time.time(), abs=100)
    assert one["seen"] == pytest.approx(time.time(), abs=100)
    assert (other["name"], other["round"], other["answers"], other["last"], other["seen"]) == ("zoe", 0, 0, None, None)
    admin.post("/api/projects/p/close", json={})
    assert admin.get("/api/projects/p").json()["annotators"][0]["round"] == 0


def test_names_may_have_spaces_and_letters_of_any_script(client: Client, studio: Studio) -> None:
    admin, anna = client("boss", "admin"), client("anna")
    for name in (
        "Helpful answers 2",
        "Höflich & knapp",
        "  spaced",
        "spaced ",
        "a/b",
        "..",
        "two  spaces",
        "a\tb",
        "über-Ich",
    ):
        good = name in ("Helpful answers 2", "über-Ich")
        assert (admin.post("/api/projects", json={"name": name}).status_code == 200) == good, name
    path = "/api/projects/Helpful%20answers%202"
    row = json.dumps({"prompt": "q", "first": "a", "second": "b"})
    assert admin.post(f"{path}/import", json={"text": row}).json()["added"] == 1
    (item,) = anna.post(f"{path}/queue", json={}).json()["items"]
    click(anna, item)
    assert admin.post(f"{path}/close", json={}).status_code == 200
    from trueward.data import comparisons, snapshots

    (file,) = snapshots.snapshots("studio:Helpful answers 2@1", studio.data)
    assert len(comparisons.read(file).rows) == 1
    header = admin.get("/api/projects/%C3%BCber-Ich/export?form=events").headers["content-disposition"]
    assert header == "attachment; filename=\"_ber-Ich.events.jsonl\"; filename*=UTF-8''%C3%BCber-Ich.events.jsonl"


def test_a_session_that_is_in_use_goes_on(client: Client, studio: Studio) -> None:
    anna = client("anna")
    mine = t.credential.c.kind == "session"

    def age(days: float, created: float) -> None:
        values = {"expires": time.time() + days * accounts.DAY, "created": time.time() - created * accounts.DAY}
        studio.database.write(lambda c: c.execute(update(t.credential).where(mine).values(values)))

    def left() -> float:
        with studio.database.reading() as connection:
            return float(connection.scalar(select(t.credential.c.expires).where(mine)) - time.time()) / accounts.DAY

    assert "set-cookie" not in anna.get("/api/me").headers  # it is new
    age(10, 20)
    reply = anna.get("/api/me")
    assert f"{COOKIE}=" in reply.headers["set-cookie"]
    assert left() == pytest.approx(30, abs=0.01)
    assert "set-cookie" not in anna.get("/api/me").headers
    age(10, 350)
    anna.get("/api/me")
    assert left() == pytest.approx(16, abs=0.01)  # a year in all
    age(-1, 40)
    assert anna.get("/api/me").json()["account"] is None


def test_a_link_that_is_spent_has_a_way_back(client: Client, studio: Studio) -> None:
    admin, stranger = client("boss", "admin"), client()
    made = admin.post("/api/accounts", json={"name": "anna"}).json()
    assert stranger.post("/api/enter", json={"token": made["token"]}).status_code == 200
    assert stranger.get("/api/me").json()["account"] == {"name": "anna", "role": "annotator", "password": False}
    other = client()
    refused = other.post("/api/enter", json={"token": made["token"]})
    assert (refused.status_code, refused.json()["detail"]) == (401, "this link was used before, and works once")
    assert "isn't known" in other.post("/api/enter", json={"token": "tw_nothing"}).json()["detail"]
    assert other.post("/api/enter/again", json={"token": "tw_nothing"}).status_code == 404
    assert other.post("/api/enter/again", json={"token": made["token"]}).json() == {}
    assert other.get("/api/me").json()["account"] is None  # asking lets nobody in
    asks = {row["name"]: bool(row["link_wanted"]) for row in admin.get("/api/accounts").json()}
    assert asks == {"boss": False, "anna": True}
    again = admin.post(f"/api/accounts/{made['id']}/invite", json={}).json()["token"]
    assert not any(row["link_wanted"] for row in admin.get("/api/accounts").json())
    old = {"expires": time.time() - accounts.DAY}
    spent = t.credential.c.hash == accounts.digest(again)
    studio.database.write(lambda c: c.execute(update(t.credential).where(spent).values(old)))
    assert "too old" in other.post("/api/enter", json={"token": again}).json()["detail"]
    admin.post("/api/accounts", json={"name": "ben"})  # each new secret sweeps away what has expired long ago
    assert other.post("/api/enter/again", json={"token": again}).status_code == 200
    admin.post(f"/api/accounts/{made['id']}/active", json={"active": False})
    assert other.post("/api/enter/again", json={"token": again}).status_code == 404


def test_a_project_name_is_one_in_a_recipe_too() -> None:
    assert projects.NAME.pattern in __import__("trueward.data.snapshots", fromlist=["NAMED"]).NAMED.pattern
