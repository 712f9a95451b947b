"""What keeps the next pair quick, without a clock: no walk through a table, few questions, nothing held back on the way."""

from __future__ import annotations

import asyncio
import secrets
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from trueward.records import Prompt
from trueward.studio import serve
from trueward.studio.api import work
from trueward.studio.api.place import Person, Studio
from trueward.studio.runs.library import Library
from trueward.studio.store import accounts, projects, queue
from trueward.studio.store.database import Database

PAIRS, PEOPLE = 300, 4
TABLES = ("item", "assignment", "event", "response", "round", "project", "account", "tally", "assignee")


@pytest.fixture
def asked(tmp_path: Path) -> Any:
    """A studio in the middle of its work, one of its people, and a list of every statement from then on."""
    database = Database(tmp_path / "studio")
    here = Studio(tmp_path / "studio", database, Library(tmp_path / "runs"))

    def fill(connection: Any) -> list[int]:
        projects.create(connection, "p", overlap=2)
        pairs = [projects.pair(Prompt(text=f"{i}"), ("a", "b"), ("", ""), (True, True)) for i in range(PAIRS)]
        projects.add_pairs(connection, projects.get(connection, "p"), pairs)
        return [accounts.create(connection, f"a{i}", "annotator") for i in range(PEOPLE)]

    people = [Person(number, f"a{number}", "annotator") for number in database.write(fill)]
    for person in people:
        for item in work.take("p", work.Wanted(count=20), here, person)["items"]:
            click(here, person, item)
        work.take("p", work.Wanted(count=3), here, person)
    statements: list[tuple[str, Any]] = []

    def seen(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        statements.append((statement, parameters[0] if many else parameters))

    event.listen(database.engine, "before_cursor_execute", seen)
    yield here, people[0], statements
    database.close()


def click(here: Studio, person: Person, item: dict[str, Any]) -> None:
    key = secrets.token_hex(8)
    given = work.GivenAnswer(assignment=item["assignment"], key=key, kind="win", side="left")
    work.answer(given, here, person)


def test_no_question_walks_through_a_table(asked: Any) -> None:
    here, person, statements = asked
    items = work.take("p", work.Wanted(count=4), here, person)["items"]
    click(here, person, items[0])
    plans = []
    with here.database.reading() as connection:
        for statement, parameters in list(statements):
            # (the plan of an INSERT names walks of foreign keys that are skipped as long as none is violated)
            if statement.split()[0] in ("SELECT", "UPDATE"):
                rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                plans += [(row[-1], statement) for row in rows]
    assert len(plans) > 10
    walks = [(plan, statement) for plan, statement in plans if plan.split()[:2] in [["SCAN", name] for name in TABLES]]
    assert walks == []


def test_the_next_pair_takes_few_questions(asked: Any) -> None:
    """The project, late leases, those held, how many one had, which are next, a free one, its place, its turn, what to show;
    two to count."""
    here, person, statements = asked
    items = work.take("p", work.Wanted(count=3), here, person)["items"]
    click(here, person, items[0])
    statements.clear()
    assert len(work.take("p", work.Wanted(count=3), here, person)["items"]) == 3
    told = [statement for statement, _ in statements if statement.split()[0] not in ("BEGIN", "PRAGMA")]
    assert len(told) <= 11, told


def test_an_old_count_of_what_is_free_is_only_taken_where_much_is(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    here, _, _ = asked
    free = queue.Free()
    with here.database.reading() as connection:
        project = projects.working(connection, "p")
        assert free(connection, project.round_id) == free(connection, project.round_id)
        free.known[project.round_id] = (1e12, 7)  # a small number is always asked anew
        assert free(connection, project.round_id) > 200
        monkeypatch.setattr(queue, "MANY", 100)
        free.known[project.round_id] = (1e12, 150)
        assert free(connection, project.round_id) == 150
        free.known[project.round_id] = (0.0, 150)
        assert free(connection, project.round_id) > 200


def test_answers_are_not_held_back_on_the_line() -> None:
    """Without TCP_NODELAY the kernel keeps the second half of an answer for up to 40 ms."""
    found: list[int] = []

    async def serving() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            line = writer.get_extra_info("socket")
            found.append(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = serve._bound("127.0.0.1", 0)
        async with await asyncio.start_server(handle, sock=listening):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            await reader.read()
            writer.close()
            await writer.wait_closed()

    # In a thread: a browser's test before this one can leave a loop that runs in the main one.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, serving()).result(30)
    assert len(found) == 1
    assert found[0] != 0
