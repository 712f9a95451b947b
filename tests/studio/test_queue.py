"""The queue's promises, on both databases: overlap, leases, sides, idempotency, undo, exclusion, an append-only log."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.exc import DBAPIError

from trueward.records import Prompt
from trueward.studio.store import accounts, answers, counts, projects, queue
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database


def pairs(n: int) -> list[projects.Pair]:
    return [
        projects.pair(Prompt(text=f"prompt {i}"), (f"one {i}", f"two {i}"), ("sft", "policy"), (True, True))
        for i in range(n)
    ]


def set_up(database: Database, items: int, overlap: int, people: int, **more: Any) -> list[int]:
    def work(connection: Connection) -> list[int]:
        projects.create(connection, "p", overlap=overlap, **more)
        assert projects.add_pairs(connection, projects.get(connection, "p"), pairs(items)) == items
        return [accounts.create(connection, f"a{i}", "annotator") for i in range(people)]

    return database.write(work)


def take(database: Database, who: int, count: int = 1) -> list[dict[str, Any]]:
    return database.write(lambda c: queue.take(c, projects.get(c, "p"), who, count))


def say(database: Database, who: int, assignment: str, kind: Any = "win", **more: Any) -> str:
    if kind == "win":
        more = {"side": "left", **more}
    given = answers.Answer(assignment, more.pop("key", secrets.token_hex(8)), kind, **more)
    return database.write(lambda c: answers.store(c, who, given))


def take_back(database: Database, who: int, key: str, target: str | None = None) -> str | None:
    return database.write(lambda c: answers.undo(c, who, projects.get(c, "p"), key, target))


def spare(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.sum(t.item.c.spare))).scalar_one())


def standing(database: Database) -> list[Any]:
    with database.reading() as connection:
        return counts.votes(connection, projects.get(connection, "p").id)


def replayed(database: Database) -> dict[str, int]:
    """What the log alone says of who stands by what: assignment to event."""
    found: dict[str, int] = {}
    with database.reading() as connection:
        for event in connection.execute(select(t.event).order_by(t.event.c.id)).all():
            if event.supersedes is not None:
                assert found.pop(event.assignment_id) == event.supersedes
            if event.kind not in ("undo", "exclude"):
                assert event.assignment_id not in found
                found[event.assignment_id] = event.id
    return found


def test_an_item_goes_to_as_many_people_as_asked_and_to_nobody_twice(database: Database) -> None:
    people = set_up(database, items=3, overlap=2, people=3)
    for who in people[:2]:
        got = take(database, who, 10)
        assert len(got) == 3
        assert take(database, who, 10) == got  # a reload shows the same, in the same order, on the same sides
    assert take(database, people[2], 10) == []
    for who in people[:2]:
        for item in take(database, who, 10):
            assert say(database, who, item["assignment"]) == "answered"
        assert take(database, who, 10) == []
    assert len(standing(database)) == 6
    assert spare(database) == 0


def test_a_lease_that_ran_out_goes_to_somebody_else_and_a_late_click_is_kept_as_surplus(database: Database) -> None:
    slow, quick = set_up(database, items=1, overlap=1, people=2, lease_seconds=1000.0)
    held = take(database, slow)[0]["assignment"]
    assert take(database, quick) == []
    database.write(lambda c: c.execute(update(t.assignment).values(leased_until=0.0)))
    taken = take(database, quick)[0]["assignment"]
    assert say(database, quick, taken) == "answered"
    assert say(database, slow, held) == "surplus"
    assert [v.name for v in standing(database)] == ["a1"]
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(t.event)).scalar_one() == 2


def test_a_late_click_counts_while_there_is_room(database: Database) -> None:
    slow, _ = set_up(database, items=1, overlap=1, people=2)
    held = take(database, slow)[0]["assignment"]
    database.write(lambda c: c.execute(update(t.assignment).values(leased_until=0.0)))
    database.write(lambda c: queue.release_expired(c, 1.0))
    assert spare(database) == 1
    assert say(database, slow, held) == "answered"
    assert spare(database) == 0


def test_the_same_click_sent_twice_is_one_event(database: Database) -> None:
    who, other = set_up(database, items=1, overlap=2, people=2)
    item = take(database, who)[0]["assignment"]
    for _ in range(3):
        assert say(database, who, item, key="the same key") == "answered"
    assert len(replayed(database)) == 1
    theirs = take(database, other)[0]["assignment"]
    with pytest.raises(answers.RefusedError, match="another answer"):
        say(database, other, theirs, key="the same key")
    with pytest.raises(answers.RefusedError, match="no such assignment"):
        say(database, other, item)


def test_response_ids_are_stored_and_never_positions(database: Database) -> None:
    """Both sides occur; what was clicked is the response that stood there."""
    people = set_up(database, items=40, overlap=1, people=1)
    lefts = Counter()
    for item in take(database, people[0], 20):
        lefts[item["left"]["text"].split()[0]] += 1
        side = "left" if item["left"]["text"].startswith("one") else "right"
        say(database, people[0], item["assignment"], side=side)
    assert min(lefts["one"], lefts["two"]) >= 3  # 20 fair draws: fewer has probability 0.0004
    assert {v.chosen_id == v.first_id for v in standing(database)} == {True}


def test_undo_supersedes_and_nothing_is_deleted(database: Database) -> None:
    who, other = set_up(database, items=2, overlap=1, people=2)
    first, second = (i["assignment"] for i in take(database, who, 2))
    say(database, who, first, key="click one")
    say(database, who, second, "tie", key="click two")

    def undo(key: str, target: str | None = None) -> str | None:
        return take_back(database, who, key, target)

    assert undo("undo one") == second
    assert undo("undo one") == second  # sent twice
    assert undo("undo two", "click one") == first
    assert standing(database) == []
    assert take(database, other) == []  # still held by whoever took them back
    assert say(database, who, first, side="right") == "answered"
    assert len(standing(database)) == 1
    assert undo("undo three", "click one") is None
    assert replayed(database) == {first: standing(database)[0].event_id}
    with database.reading() as connection:
        assert connection.execute(select(func.count()).select_from(t.event)).scalar_one() == 5


def test_a_skip_goes_to_somebody_else_and_can_be_taken_back_while_there_is_room(database: Database) -> None:
    who, other = set_up(database, items=1, overlap=1, people=2)
    item = take(database, who)[0]["assignment"]
    assert say(database, who, item, "skip", reason="not my language") == "skipped"
    assert take(database, who) == []
    assert take_back(database, who, "undo one") == item
    assert take(database, other) == []
    say(database, who, item, "skip", reason="still not")
    assert say(database, other, take(database, other)[0]["assignment"]) == "answered"
    with pytest.raises(answers.RefusedError, match="others have answered"):
        take_back(database, who, "undo two")
    with database.reading() as connection:
        found = counts.overview(connection, projects.get(connection, "p"))
    assert found["skipped"] == 1
    assert {r["reason"] for r in found["reasons"]} == {"not my language", "still not"}


def test_an_exclusion_has_a_reason_and_makes_room(database: Database) -> None:
    who, other, admin = set_up(database, items=1, overlap=1, people=3)
    item = take(database, who)[0]["assignment"]
    say(database, who, item)
    with pytest.raises(answers.RefusedError, match="reason"):
        database.write(lambda c: answers.exclude(c, admin, item, "a key", "  "))
    assert database.write(lambda c: answers.exclude(c, admin, item, "a key", "clicked in a second"))
    assert database.write(lambda c: answers.exclude(c, admin, item, "a key", "clicked in a second"))
    assert not database.write(lambda c: answers.exclude(c, admin, item, "another", "clicked in a second"))
    assert standing(database) == []
    with pytest.raises(answers.RefusedError, match="excluded"):
        say(database, who, item)
    assert say(database, other, take(database, other)[0]["assignment"]) == "answered"
    with database.reading() as connection:
        found = counts.overview(connection, projects.get(connection, "p"))
    assert (found["excluded"], found["exclusion_rate"]) == (1, 0.5)
    assert len(replayed(database)) == 1


@pytest.mark.parametrize("statement", ["UPDATE event SET kind = 'tie'", "DELETE FROM event"])
def test_the_log_refuses_to_be_changed(database: Database, statement: str) -> None:
    who = set_up(database, items=1, overlap=1, people=1)[0]
    say(database, who, take(database, who)[0]["assignment"])
    with pytest.raises(DBAPIError, match="appended, never changed"), database.writing() as connection:
        connection.execute(text(statement))
    assert standing(database)[0].kind == "win"


def test_the_same_pair_is_in_a_project_once(database: Database) -> None:
    set_up(database, items=5, overlap=1, people=1)
    twice = [*pairs(6), *pairs(6)]
    assert database.write(lambda c: projects.add_pairs(c, projects.get(c, "p"), twice)) == 1
    turned = [projects.Pair(p.prompt, p.second, p.first) for p in pairs(6)]
    assert database.write(lambda c: projects.add_pairs(c, projects.get(c, "p"), turned)) == 0


def test_sixteen_people_at_once_lose_no_vote_and_never_answer_too_often(database: Database) -> None:
    """100 items for two people each, 16 threads with a connection of their own; some undo, some skip."""
    people = set_up(database, items=100, overlap=2, people=16)
    clicked: list[tuple[str, str]] = []
    errors: list[BaseException] = []
    lock = threading.Lock()

    def work(who: int, number: int) -> None:
        try:
            turns = 0
            while got := take(database, who, 2):
                for item in got:
                    turns += 1
                    key = secrets.token_hex(8)
                    state = say(database, who, item["assignment"], key=key)
                    if turns % 7 == 3:
                        again = take_back(database, who, "u" + key, key)
                        assert again == item["assignment"]
                        key = secrets.token_hex(8)
                        state = say(database, who, item["assignment"], "tie", key=key)
                    with lock:
                        clicked.append((key, state))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(who, n)) for n, who in enumerate(people)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert errors == []
    assert Counter(state for _, state in clicked) == {"answered": 200}
    found = standing(database)
    assert Counter(Counter(v.item_id for v in found).values()) == {2: 100}
    assert Counter(Counter((v.item_id, v.name) for v in found).values()) == {1: 200}
    assert spare(database) == 0
    with database.reading() as connection:
        kept = set(connection.scalars(select(t.event.c.key).where(t.event.c.id.in_([v.event_id for v in found]))))
    assert kept == {key for key, _ in clicked}
    assert set(replayed(database).values()) == {v.event_id for v in found}


def test_every_second_person_sees_a_pair_the_other_way_round(database: Database) -> None:
    """Of four people to an item, two have seen each response on the left; the first one's side is drawn."""
    people = set_up(database, 12, 4, 4)
    for who in people:
        take(database, who, 12)
    with database.reading() as connection:
        rows = connection.execute(
            select(t.assignment.c.item_id, t.assignment.c.left_id, t.item.c.first_id, t.assignment.c.account_id).join(
                t.item, t.item.c.id == t.assignment.c.item_id
            )
        ).all()
    on_the_left = Counter((row.item_id, row.left_id == row.first_id) for row in rows)
    assert set(on_the_left.values()) == {2}
    drawn = {row.left_id == row.first_id for row in rows if row.account_id == people[0]}
    assert drawn == {True, False}


def test_the_answer_key_stays_here(database: Database) -> None:
    people = set_up(database, 1, 1, 1)
    key = Prompt(text="what is six times seven", answer="forty-two").model_dump_json()
    database.write(lambda c: c.execute(update(t.item).values(prompt=key)))
    (item,) = take(database, people[0])
    assert item["prompt"]["text"] == "what is six times seven"
    assert "forty-two" not in str(item)
