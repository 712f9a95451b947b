"""Who gets which item when, on both databases: an order of one's own, check pairs at a rate, positions in the events."""

from __future__ import annotations

import json
import secrets
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, select, update

from trueward.records import Prompt
from trueward.studio.store import accounts, answers, order, projects, queue
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database


def made(n: int, name: str, better: int | None = None) -> list[projects.Pair]:
    texts = ((f"one {name}{i}", f"two {name}{i}") for i in range(n))
    sides = [projects.pair(Prompt(text=f"{name}{i}"), both, ("", ""), (True, True)) for i, both in enumerate(texts)]
    return [projects.Pair(pair.prompt, pair.first, pair.second, better=better) for pair in sides]


def set_up(database: Database, items: int, checks: int, people: int, **more: Any) -> list[int]:
    def work(connection: Connection) -> list[int]:
        projects.create(connection, "p", overlap=people, **more)
        project = projects.get(connection, "p")
        projects.add_pairs(connection, project, made(items, "i"))
        projects.add_pairs(connection, project, made(checks, "c", better=0))
        return [accounts.create(connection, f"a{i}", "annotator") for i in range(people)]

    return database.write(work)


def store(database: Database, who: int, given: answers.Answer) -> None:
    database.write(lambda c: answers.store(c, who, given))


def all_items(database: Database, who: int, count: int = 3) -> list[str]:
    """The prompts in the order in which this account gets and judges them; few at a time, as a page asks for them."""
    seen = []
    while items := database.write(lambda c: queue.take(c, projects.get(c, "p"), who, count)):
        for item in items:
            seen.append(item["prompt"]["text"])
            store(
                database, who, answers.Answer(item["assignment"], secrets.token_hex(8), "tie", read=len(seen) % 2 == 0)
            )
    return seen


def test_everybody_has_an_order_of_their_own_and_gets_everything_once(database: Database) -> None:
    one, two = set_up(database, items=40, checks=0, people=2)
    orders = [all_items(database, one), all_items(database, two, count=7)]
    imported = [f"i{i}" for i in range(40)]
    for found in orders:
        assert sorted(found) == sorted(imported)
        assert found != imported
    assert orders[0] != orders[1]
    # 40 items in random order: sum of |rank - rank| has mean 533 and SD 45; the same order would have 0
    apart = sum(abs(i - orders[1].index(name)) for i, name in enumerate(orders[0]))
    assert apart > 250
    with database.reading() as connection:
        events = connection.execute(select(t.event).order_by(t.event.c.id)).all()
    for who in (one, two):
        own = [event for event in events if event.account_id == who]
        assert [event.position for event in own] == list(range(1, 41))
        assert [event.read for event in own] == [False, True] * 20


@pytest.mark.parametrize("rate", [None, 0.0, 0.2])
def test_check_pairs_come_at_their_rate_until_one_kind_runs_out(database: Database, rate: float | None) -> None:
    people = set_up(database, items=60, checks=20, people=3, check_rate=rate)
    orders = [all_items(database, who, count=20) for who in people]
    assert all(len(set(found)) == 80 for found in orders)
    first = [name[0] == "c" for found in orders for name in found[:40]]
    places = {tuple(i for i, name in enumerate(found) if name[0] == "c") for found in orders}
    if rate == 0.0:
        assert places == {tuple(range(60, 80))}  # only when all else is done
    else:
        # None: a quarter of all items; 0.2: of 120 turns 24, SD 4.4. Nobody sees them at the same places
        assert 10 <= sum(first) <= 45
        assert len(places) == 3


def test_the_window_moves_on(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "WINDOW", 8)
    (who,) = set_up(database, items=60, checks=0, people=1)
    with database.reading() as connection:
        places = {row.prompt: row.place for row in connection.execute(select(t.item.c.prompt, t.item.c.place))}
    along = [prompt for prompt, _ in sorted(places.items(), key=lambda each: each[1])]
    found = all_items(database, who)
    assert len(set(found)) == 60
    first = {json.loads(prompt)["text"] for prompt in along[: 8 + 9]}
    assert set(found[:10]) <= first  # what comes first lies near the front, in everybody's order


def test_an_item_that_comes_again_has_a_new_position_and_its_old_side(database: Database) -> None:
    (who,) = set_up(database, items=5, checks=0, people=1)
    before = database.write(lambda c: queue.take(c, projects.get(c, "p"), who, 2))
    database.write(lambda c: c.execute(update(t.assignment).values(leased_until=0.0)))
    again = database.write(lambda c: queue.take(c, projects.get(c, "p"), who, 5))
    by_id = {item["assignment"]: item for item in again}
    assert all(by_id[item["assignment"]] == item for item in before)
    with database.reading() as connection:
        positions = dict(connection.execute(select(t.assignment.c.id, t.assignment.c.position)).all())
    assert [positions[item["assignment"]] for item in again] == [3, 4, 5, 6, 7]
    # a reload shows them in the same order
    assert database.write(lambda c: queue.take(c, projects.get(c, "p"), who, 5)) == again


def test_settings_and_export(client: Any) -> None:
    admin: TestClient = client("boss", "admin")
    anna = client("anna")
    assert admin.post("/api/projects", json={"name": "p", "check_rate": 0.7}).status_code == 422
    assert admin.post("/api/projects", json={"name": "p", "check_rate": 0.1}).status_code == 200
    assert admin.get("/api/projects/p").json()["check_rate"] == 0.1
    row = json.dumps({"prompt": "q", "first": "a", "second": "b"})
    admin.post("/api/projects/p/import", json={"text": row})
    for body, status in (
        ({"instructions": "*new*"}, 200),
        ({"check_rate": None}, 200),
        ({"check_rate": -1}, 422),
        ({}, 422),
    ):
        assert admin.post("/api/projects/p/settings", json=body).status_code == status, body
    project = admin.get("/api/projects/p").json()
    assert (project["instructions"], project["check_rate"]) == ("*new*", None)
    (item,) = anna.post("/api/projects/p/queue", json={"count": 3}).json()["items"]
    key = secrets.token_hex(8)
    body = {"assignment": item["assignment"], "key": key, "kind": "tie", "seconds": 2.5, "read": False}
    assert anna.post("/api/answers", json=body).status_code == 200
    (told,) = [json.loads(each) for each in admin.get("/api/projects/p/export?form=events").text.splitlines()]
    assert (told["position"], told["seconds"], told["read"]) == (1, 2.5, False)
    assert admin.get("/api/projects/p").json()["annotators"][0]["read"] == 0.0
