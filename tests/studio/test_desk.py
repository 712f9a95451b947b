"""The desk of reviewers: what it finds, decisions over votes, exclusions of many answers, comments."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import event, select, text
from starlette.testclient import TestClient

from trueward.data import comparisons as compared
from trueward.data import snapshots
from trueward.records import Prompt
from trueward.studio import agreement
from trueward.studio.api.place import Studio
from trueward.studio.store import accounts, answers, decisions, desk, exclusions, projects, queue, rounds, tallies
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database

Client = Callable[..., TestClient]
CHECK = {"prompt": "2 + 2", "chosen": "4", "rejected": "5"}


def fill(admin: TestClient, n: int = 4, overlap: int = 2) -> None:
    assert admin.post("/api/projects", json={"name": "p", "overlap": overlap}).status_code == 200
    rows = [{"prompt": f"Käse {i}?", "first": f"one {i}", "second": f"two {i}"} for i in range(n)]
    made = admin.post("/api/projects/p/import", json={"text": "\n".join(json.dumps(row) for row in rows)})
    assert made.json()["added"] == n


def work_off(person: TestClient, choose: Callable[[str], str], **more: Any) -> None:
    """Answer everything: `choose` names the beginning of the better answer for a prompt, "tie" or "skip"."""
    while items := person.post("/api/projects/p/queue", json={"count": 5}).json()["items"]:
        for item in items:
            wanted = choose(item["prompt"]["text"])
            given: dict[str, Any] = {"kind": wanted} if wanted in ("tie", "skip") else {"kind": "win"}
            if given["kind"] == "win":
                given["side"] = "left" if item["left"]["text"].startswith(wanted) else "right"
            body = {"assignment": item["assignment"], "key": secrets.token_hex(8), **given, **more}
            assert person.post("/api/answers", json=body).status_code == 200


def look(admin: TestClient, **wish: Any) -> dict[str, Any]:
    reply = admin.get("/api/projects/p/desk", params=wish)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def prompts(admin: TestClient, **wish: Any) -> list[str]:
    return [item["prompt"]["text"] for item in look(admin, **wish)["items"]]


def decide(admin: TestClient, item: int, choice: str, **more: Any) -> Any:
    body = {"item": item, "key": secrets.token_hex(8), "choice": choice, **more}
    return admin.post("/api/projects/p/adjudicate", json=body)


@pytest.fixture
def judged(client: Client) -> tuple[TestClient, TestClient, TestClient]:
    """Four pairs and a check pair that anna and ben have judged; they differ on the first and ben missed the check pair."""
    admin, anna, ben = client("boss", "admin"), client("anna"), client("ben")
    fill(admin)
    assert admin.post("/api/projects/p/import", json={"text": json.dumps(CHECK), "checks": True}).json()["added"] == 1
    work_off(anna, lambda prompt: "4" if "+" in prompt else "skip" if "3" in prompt else "one", seconds=9.0)
    work_off(
        ben, lambda prompt: "5" if "+" in prompt else "two" if "0" in prompt else "one", seconds=1.25, text="50% sure"
    )
    return admin, anna, ben


def test_what_a_reviewer_looks_for_is_there(judged: Any) -> None:
    admin, _, _ = judged
    everything = look(admin)
    assert (everything["total"], everything["pages"], everything["annotators"]) == (5, 1, ["anna", "ben"])
    assert sorted(prompts(admin, status="split")) == ["2 + 2", "Käse 0?"]  # the votes of a check pair differ, too
    assert prompts(admin, status="failed") == ["2 + 2"]
    assert prompts(admin, status="skipped") == ["Käse 3?"]
    assert prompts(admin, status="waiting") == ["Käse 3?"]
    assert prompts(admin, status="unanswered") == []
    assert len(prompts(admin, status="complete")) == 4
    assert prompts(admin, find="käse 2") in ([], ["Käse 2?"])  # letters beyond ASCII are told apart by case on SQLite
    assert prompts(admin, find="Käse 2") == ["Käse 2?"]
    assert prompts(admin, find="TWO 1") == ["Käse 1?"]
    assert len(prompts(admin, find="50% sure")) == 5  # in a note; the sign stands for itself
    assert prompts(admin, find="5_% sure") == []
    assert len(prompts(admin, annotator="anna")) == 5
    assert prompts(admin, annotator="boss") == []
    assert len(prompts(admin, under=2)) == 5
    assert prompts(admin, under=1) == []
    assert prompts(admin, until=time.time() - 60) == []
    assert len(prompts(admin, since=time.time() - 60, round=1)) == 5
    assert prompts(admin, round=2) == []
    assert set(prompts(admin, sort="disagreement")[:2]) == {"2 + 2", "Käse 0?"}
    assert prompts(admin, sort="item")[0] == "Käse 0?"
    assert prompts(admin, sort="newest") == prompts(admin, sort="oldest")[::-1]
    number = everything["items"][0]["item"]
    assert [each["item"] for each in look(admin, item=number)["items"]] == [number]
    assert admin.get("/api/projects/p/desk?status=nonsense").status_code == 422
    assert admin.get("/api/projects/p/desk?nonsense=1").status_code == 422


def test_votes_stand_side_by_side_and_no_writer_is_named(judged: Any) -> None:
    admin, _, _ = judged
    (item,) = look(admin, find="Käse 0")["items"]
    votes = {vote["account"]: vote for vote in item["votes"]}
    assert (votes["anna"]["choice"], votes["ben"]["choice"]) == ("first", "second")
    assert (votes["ben"]["seconds"], votes["ben"]["text"]) == (1.25, "50% sure")
    assert item["a"] in ("first", "second")
    assert "writer" not in json.dumps(item)
    (check,) = look(admin, status="failed")["items"]
    assert check["check"] == "first"


def test_a_decision_counts_over_the_votes_which_stay(judged: Any, studio: Studio) -> None:
    admin, _, _ = judged
    before = admin.get("/api/projects/p").json()["agreement"]
    (item,) = look(admin, find="Käse 0")["items"]
    key = secrets.token_hex(8)
    body = {"item": item["item"], "key": key, "choice": "second", "strength": 3, "reason": "“one” is wrong"}
    shown = [admin.post("/api/projects/p/adjudicate", json=body).json() for _ in range(2)]  # sent twice, stored once
    assert shown[0] == shown[1]
    assert shown[0]["decision"]["choice"] == "second"
    assert (shown[0]["decision"]["by"], shown[0]["decision"]["text"]) == ("boss", "“one” is wrong")
    assert len(shown[0]["votes"]) == 2
    assert prompts(admin, status="adjudicated") == ["Käse 0?"]
    page = admin.get("/api/projects/p").json()
    assert page["adjudicated"] == 1
    assert page["agreement"] == before  # how people agree is about what they said

    reply = admin.get("/api/projects/p/export?form=own")
    mine = [json.loads(line) for line in reply.text.splitlines() if "0?" in line]
    assert [(row["probability"], row["source"], row["annotator"]) for row in mine] == [
        (0.0, "studio:p/boss, adjudicated", "boss")
    ]
    assert json.loads(reply.headers["x-left-out"])["votes that a reviewer's decision stands for"] == 2
    cast = [json.loads(line) for line in admin.get("/api/projects/p/export?form=votes").text.splitlines()]
    assert sorted(row["annotator"] for row in cast if "0?" in row["prompt"]["text"]) == ["anna", "ben"]
    assert "adjudicated" not in json.dumps(cast)
    events = [json.loads(line) for line in admin.get("/api/projects/p/export?form=events").text.splitlines()]
    (made,) = [row for row in events if row["kind"] == "adjudicate"]
    assert (made["account"], made["strength"], made["reason"]) == ("boss", 3, "“one” is wrong")
    assert "assignment" not in made

    manifest = admin.post("/api/projects/p/close", json={}).json()
    assert (manifest["rows"], manifest["adjudicated"], manifest["votes_overruled"]) == (6, 1, 2)
    rows = compared.read(snapshots.snapshots("studio:p", studio.data)[0]).rows
    (row,) = [row for row in rows if row.prompt.text == "Käse 0?"]
    assert (row.probability, row.strength, row.source) == (0.0, 3, "studio:p/boss, adjudicated")
    refused = decide(admin, item["item"], "first")
    assert refused.status_code == 409
    assert "round 1 is closed" in refused.json()["detail"]
    comment = {"item": item["item"], "key": secrets.token_hex(8), "text": "for the next guidelines"}
    assert admin.post("/api/projects/p/comment", json=comment).status_code == 200  # a closed round can be spoken of


def test_a_decision_is_changed_and_taken_back(judged: Any) -> None:
    admin, _, _ = judged
    (item,) = look(admin, find="Käse 0")["items"]
    number = item["item"]
    assert decide(admin, number, "first", strength=1).status_code == 200
    assert decide(admin, number, "tie").json()["decision"]["choice"] == "tie"
    assert decide(admin, number, "tie", strength=1).status_code == 409
    assert decide(admin, number, "withdraw").json()["decision"] is None
    assert decide(admin, number, "withdraw").status_code == 200  # there is none any more
    rows = [json.loads(row) for row in admin.get("/api/projects/p/export").text.splitlines()]
    assert len([row for row in rows if "0?" in row["prompt"]["text"]]) == 2
    (check,) = look(admin, status="failed")["items"]
    assert "check pair" in decide(admin, check["item"], "first").json()["detail"]
    assert decide(admin, 10_000, "first").status_code == 409
    events = [json.loads(row) for row in admin.get("/api/projects/p/export?form=events").text.splitlines()]
    log = [row for row in events if row["kind"] in ("adjudicate", "withdraw")]
    assert [row["kind"] for row in log] == ["adjudicate", "adjudicate", "withdraw"]
    assert [row.get("supersedes") for row in log] == [None, log[0]["id"], log[1]["id"]]


def test_an_item_that_only_a_reviewer_decided_is_in_the_round(client: Client, studio: Studio) -> None:
    admin = client("boss", "admin")
    fill(admin, n=3)
    (item,) = look(admin, find="Käse 1")["items"]
    decide(admin, item["item"], "first")
    table = admin.get("/api/projects/p/export?form=csv").text.splitlines()
    assert table[1] == "Käse 1?,one 1,two 1,0,,,,1.0"
    manifest = admin.post("/api/projects/p/close", json={}).json()
    assert (manifest["rows"], manifest["items"]) == (1, 1)
    assert [row["items"] for row in admin.get("/api/projects/p").json()["rounds"]] == [1, 2]


def test_many_answers_are_excluded_for_one_reason_and_taken_back(judged: Any, client: Client) -> None:
    admin, _, _ = judged
    ids = [vote["assignment"] for item in look(admin)["items"] for vote in item["votes"] if vote["account"] == "ben"]
    body = {"key": secrets.token_hex(8), "reason": "too quick"}
    path = "/api/projects/p/exclude"
    assert admin.post(path, json={**body, "assignments": ids[:2]}).json() == {"excluded": 2}
    assert admin.post(path, json={**body, "assignments": ids[:2]}).json() == {"excluded": 2}  # sent twice
    assert admin.post(path, json={"key": secrets.token_hex(8), "reason": "x", "assignments": ids[:2]}).json() == {
        "excluded": 0
    }
    assert admin.post(path, json={"key": secrets.token_hex(8), "reason": "all of it", "annotator": "ben"}).json() == {
        "excluded": 3
    }
    page = admin.get("/api/projects/p").json()
    assert (page["excluded"], page["exclusion_rate"]) == (5, 5 / 9)
    assert prompts(admin, status="failed") == []
    assert len(prompts(admin, status="excluded")) == 5
    why = {vote["why"] for item in look(admin)["items"] for vote in item["votes"] if vote["state"] == "excluded"}
    assert why == {"too quick", "all of it"}
    work_off(client("chloe"), lambda prompt: "one")  # what was excluded is asked again
    back = {"key": secrets.token_hex(8), "annotator": "ben"}
    assert admin.post("/api/projects/p/include", json=back).json() == {
        "included": 1,
        "surplus": 4,
    }  # one was skipped by anna, so its place is free
    for wrong in ({}, {"assignments": ids, "annotator": "ben"}, {"assignments": []}):
        assert admin.post(path, json={**body, **wrong}).status_code == 422
    nothing = admin.post(path, json={**body, "key": secrets.token_hex(8), "assignments": ["0" * 32]})
    assert (nothing.status_code, nothing.json()["detail"]) == (409, "1 of 1 are no answers in p")
    no_reason = admin.post(path, json={"key": secrets.token_hex(8), "annotator": "anna"})
    assert (no_reason.status_code, no_reason.json()["detail"]) == (409, "an exclusion has a reason")


def test_an_exclusion_that_is_taken_back_counts_again(judged: Any) -> None:
    admin, _, _ = judged
    before = admin.get("/api/projects/p/export").text
    body = {"key": secrets.token_hex(8), "reason": "a mistake", "annotator": "ben"}
    admin.post("/api/projects/p/exclude", json=body)
    assert admin.post("/api/projects/p/include", json={**body, "key": secrets.token_hex(8)}).json()["included"] == 5
    assert admin.get("/api/projects/p/export").text == before
    assert len(prompts(admin, status="complete")) == 4


def test_comments_are_events_that_no_annotator_sees(judged: Any) -> None:
    admin, anna, _ = judged
    (item,) = look(admin, find="Käse 1")["items"]
    body = {"item": item["item"], "key": secrets.token_hex(8), "text": "  ask <b>Ben</b>  "}
    for _ in range(2):
        shown = admin.post("/api/projects/p/comment", json=body).json()
    assert [(each["by"], each["text"]) for each in shown["comments"]] == [("boss", "ask <b>Ben</b>")]
    assert prompts(admin, status="commented") == ["Käse 1?"]
    assert prompts(admin, find="ask <b>") == ["Käse 1?"]
    assert (
        admin.post("/api/projects/p/comment", json={**body, "text": " ", "key": secrets.token_hex(8)}).status_code
        == 409
    )
    assert anna.get("/api/projects/p/desk").status_code == 403
    assert "Ben" not in anna.get("/api/projects/p/mine").text


def test_tallies_are_what_the_answers_say(database: Database, tmp_path: Any) -> None:
    """After clicks, undos, skips, exclusions and closed rounds each tally is what counting from the beginning gives."""

    def work(connection: Any) -> None:
        projects.create(connection, "p", overlap=2)
        project = projects.get(connection, "p")
        pairs = [projects.pair(Prompt(text=f"p{i}"), (f"a{i}", f"b{i}"), ("", ""), (True, True)) for i in range(8)]
        pairs.append(projects.Pair(pairs[0].prompt, pairs[1].first, pairs[2].first, better=0))
        projects.add_pairs(connection, project, pairs)
        people = [accounts.create(connection, name, "annotator") for name in ("anna", "ben", "chloe")]
        for n, person in enumerate(people):
            for i, item in enumerate(queue.take(connection, project, person, 9)):
                kind: Any = ("win", "tie", "skip", "win")[(i + n) % 4]
                side: Any = ("left" if (i * n) % 3 else "right") if kind == "win" else None
                if {item["left"]["text"], item["right"]["text"]} == {"a1", "a2"}:  # the check pair, missed by everybody
                    kind, side = "win", "left" if item["left"]["text"] == "a2" else "right"
                answers.store(
                    connection, person, answers.Answer(item["assignment"], f"key {n} {i}", kind, side, seconds=1.0 + i)
                )
        answers.undo(connection, people[0], project, "undone")
        ids = exclusions.of_annotator(connection, project, "ben", "answered")
        exclusions.exclude(connection, people[0], project, ids[:2], "first key", "because")
        exclusions.include(connection, people[0], project, ids[:1], "other key")
        decisions.comment(connection, people[0], project, 1, "comment key", "hm")
        rounds.close(connection, tmp_path, project)

    database.write(work)
    with database.writing() as connection:
        kept = connection.execute(select(t.tally).order_by(t.tally.c.item_id)).all()
        assert sum(row.votes for row in kept) > 8
        assert sum(row.failed for row in kept) > 0
        for row in kept:
            tallies.refresh(connection, row.item_id)
        assert connection.execute(select(t.tally).order_by(t.tally.c.item_id)).all() == kept
        migration = __import__(
            "trueward.studio.store.migrations.versions.v0007_review_and_project_life", fromlist=["COUNTED"]
        )
        connection.execute(text("DELETE FROM tally"))
        connection.execute(text(migration.COUNTED))
        again = connection.execute(select(t.tally).order_by(t.tally.c.item_id)).all()
        assert [row[:10] for row in again] == [row[:10] for row in kept]
        assert [row[11:13] for row in again] == [row[11:13] for row in kept]


def test_the_desk_reads_texts_once_and_only_for_a_search(database: Database) -> None:
    """A page of 10,000 items stays quick because it is few statements, of which the last ones are about 20 items."""

    def work(connection: Any) -> Any:
        projects.create(connection, "p")
        project = projects.get(connection, "p")
        pairs = [projects.pair(Prompt(text=f"p{i}"), ("a", "b"), ("", ""), (True, True)) for i in range(300)]
        projects.add_pairs(connection, project, pairs)
        return project

    project = database.write(work)
    statements: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    with database.reading() as connection:
        statements.clear()
        page = desk.page(connection, project, desk.Filter(sort="disagreement", status="unanswered"), 15)
    assert (page["total"], page["pages"], len(page["items"])) == (300, 15, 20)
    told = [each for each in statements if each.startswith("SELECT")]
    assert len(told) <= 6
    assert not any("response" in each or "item.prompt" in each for each in told[:1])


@pytest.mark.parametrize(
    ("alpha", "low", "high", "word"),
    [
        (None, None, None, "nothing tells agreement from habit"),
        (0.4, None, None, "an interval takes two"),
        (-0.75, -0.9, -0.5, "more than by chance"),
        (-0.5, -0.8, 0.1, "can't be told from chance"),
        (0.1, -0.1, 0.25, "can't be told from chance"),
        (0.3, -0.2, 0.8, "Too few pairs"),
        (0.15, 0.05, 0.25, "less than preferences usually reach"),
        (0.45, 0.35, 0.55, "Within what preferences usually reach"),
        (0.4, 0.1, 0.7, "Within what preferences usually reach"),
        (0.8, 0.7, 0.9, "these pairs are clear"),
    ],
)
def test_the_words_follow_alpha_and_its_interval(alpha: Any, low: Any, high: Any, word: str) -> None:
    assert word in agreement.words(alpha, low, high)


def test_a_quarter_of_agreement_is_not_what_preferences_are_like() -> None:
    votes = {i: [1.0, 1.0 if i % 4 == 0 else 0.0] if i % 2 else [0.0, 0.0 if i % 4 == 0 else 1.0] for i in range(40)}
    figures = agreement.summary(votes)
    assert figures["agreement"] == 0.25
    assert figures["alpha"] < 0
    assert "disagree more than by chance" in figures["words"]
