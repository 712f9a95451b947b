"""A studio that is killed in the middle of its work, or whose database is, loses no click and gives no item away too often."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import own_postgresql
from sitters import Sitting, end_of, free_port, set_up, start
from sqlalchemy import select

from trueward.studio.store import counts, projects
from trueward.studio.store import tables as t
from trueward.studio.store.database import Database

ITEMS, OVERLAP, PEOPLE, KILLS = 60, 2, 16, 3
Studio = Popen[str]


def check(database: Database, sitting: Sitting) -> None:
    """Each confirmed answer is stored and no other, and each item has exactly its answers."""
    assert sitting.problems == []
    with database.reading() as connection:
        votes = counts.votes(connection, projects.get(connection, "p").id)
        stored = {row.key for row in connection.execute(select(t.event.c.key)).all()}
        spare = sum(connection.scalars(select(t.item.c.spare)))
    assert {key for key, _ in sitting.confirmed} == stored
    assert Counter(state for _, state in sitting.confirmed) == {"answered": ITEMS * OVERLAP}
    assert Counter(Counter(v.item_id for v in votes).values()) == {OVERLAP: ITEMS}
    assert spare == 0


def vote_through(tmp_path: Path, url: str, kill: Callable[[Studio, int], Studio]) -> Sitting:
    """People vote while something is killed again and again, and all that is confirmed is stored.

    kill: is given the studio that runs and its port; returns the one that runs then.
    """
    database = Database(tmp_path / "studio", url)
    tokens = database.write(lambda c: set_up(c, ITEMS, OVERLAP, PEOPLE))
    port = free_port()
    running = start(tmp_path, port, url)
    sitting = Sitting(port, tokens)
    try:
        for number in range(KILLS):
            sitting.until((number + 1) * ITEMS * OVERLAP // (KILLS + 2))
            running = kill(running, port)
        sitting.join()
    finally:
        end_of(running)
    check(database, sitting)
    database.close()
    return sitting


def test_a_kill_in_the_middle(tmp_path: Path, url: str) -> None:
    def again(running: Studio, port: int) -> Studio:
        end_of(running)
        return start(tmp_path, port, url)

    vote_through(tmp_path, url, again)


def test_a_postgresql_that_is_killed_while_people_vote(tmp_path: Path) -> None:
    """The studio goes on by itself: clicks are put off with 503 until the database is there again, and none is lost."""
    with own_postgresql.server() as server:
        url = f"postgresql://postgres@/postgres?host={server.folder}"

        def again(running: Studio, port: int) -> Studio:
            server.kill()
            server.start()
            assert running.poll() is None
            return running

        sitting = vote_through(tmp_path, url, again)
        assert sum(client.put_off for client in sitting.clients) > 0
