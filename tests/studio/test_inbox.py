"""What runs ask people: files that become pairs of a project, once, whoever looks first."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from trueward.data import questions
from trueward.records import Message, Prompt
from trueward.studio.api.place import Studio
from trueward.studio.store import projects
from trueward.studio.store.database import Database
from trueward.studio.store.inbox import Inbox


def asked(n: int, what: str = "one") -> list[questions.PeoplePair]:
    return [
        questions.people_pair(
            Prompt(text=f"prompt {i}", answer="forty-two"), (f"{what} {i}", True), (f"two {i}", i % 2 == 0)
        )
        for i in range(n)
    ]


def test_a_file_becomes_pairs_of_a_project(database: Database, tmp_path: Path) -> None:
    equal = questions.people_pair(Prompt(text="p"), ("same", True), ("same", True))
    talk = questions.people_pair(Prompt(messages=(Message(role="user", content="hi"),)), ("a", True), ("b", True))
    questions.pose("film", "my run/1", [*asked(3), equal, talk], tmp_path)
    inbox = Inbox(tmp_path)
    assert inbox.take_in(database) == 4, "equal answers are not asked about"
    assert inbox.take_in(database) == 0
    assert Inbox(tmp_path).take_in(database) == 0, "another process takes in nothing twice"
    questions.pose("film", "my run/1", asked(5), tmp_path)  # the run asks again, for more
    assert inbox.take_in(database) == 2
    with database.reading() as connection:
        found = projects.get(connection, "film")
        assert found.instructions == questions.ASKS
    assert [p.name for p in (tmp_path / "asked/film").iterdir()] == ["my_run_1.jsonl"]
    assert "forty" not in (tmp_path / "asked/film/my_run_1.jsonl").read_text(), "the answer key stays with the run"


def test_a_file_that_can_not_be_used_stops_nobody(database: Database, tmp_path: Path) -> None:
    questions.pose("film", "run", asked(1), tmp_path)
    (tmp_path / "asked/film/wrong.jsonl").write_text('{"prompt": {"text": "p"}, "first": {"id": "1", "text": "a"}}\n')
    database.write(lambda c: projects.create(c, "essays", "write"))
    questions.pose("essays", "run", asked(1), tmp_path)
    inbox = Inbox(tmp_path)
    assert inbox.take_in(database) == 1
    assert "wrong.jsonl, line 1: no pair to judge" in inbox.refused[tmp_path / "asked/film/wrong.jsonl"]
    assert "is one to write demonstrations in" in inbox.refused[tmp_path / "asked/essays/run.jsonl"]
    questions.pose("film", "wrong", asked(1, "other"), tmp_path)
    os.utime(tmp_path / "asked/film/wrong.jsonl", ns=(1, 1))
    assert inbox.take_in(database) == 1
    assert list(inbox.refused) == [tmp_path / "asked/essays/run.jsonl"]


@pytest.mark.parametrize("page", ["/api/projects", "/api/projects/film", "queue"])
def test_a_page_that_is_looked_at_has_what_was_asked(
    client: Callable[..., TestClient], studio: Studio, page: str
) -> None:
    boss, anna = client("boss", "admin"), client("anna")
    questions.pose("film", "run", asked(2), studio.data)
    if page == "queue":
        found = anna.post("/api/projects/film/queue", json={"count": 5}).json()
        assert len(found["items"]) == 2
        assert "run" not in str(found), "who asked, and who wrote what, is not told"
    else:
        assert boss.get(page).status_code == 200
        assert boss.get("/api/projects").json()[0]["round"]["items"] == 2


def test_votes_find_their_question_whichever_side_came_first() -> None:
    from trueward.records import Comparison

    one, two, three = asked(3)
    prompt = Prompt(text="prompt 0", answer="another key")  # the studio's copy of a prompt may differ in it

    def vote(q: questions.PeoplePair, probability: float, turned: bool) -> Comparison:
        first, second = (q.theirs, q.ours) if turned else (q.ours, q.theirs)
        asked = prompt if q is one else q.prompt
        return Comparison(prompt=asked, first=first, second=second, probability=probability, source="s")

    said = [vote(one, 1.0, False), vote(one, 1.0, True), vote(one, 0.5, True), vote(two, 0.0, True)]
    assert questions.preferences([one, two, three], said) == [0.5, 1.0, None]
    assert questions.matching([two], said) == [said[3]]
