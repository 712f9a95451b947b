"""The migrations make the tables that the code means, from every released revision on, and keep what is there."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import select, text

import trueward.studio.store
from trueward.records import Prompt, Response
from trueward.studio import agreement
from trueward.studio.store import accounts, database, order, tables
from trueward.studio.store.database import Database

FOLDER = Path(trueward.studio.store.__file__).parent / "migrations"
REVISIONS = [script.revision for script in ScriptDirectory(FOLDER).walk_revisions()]


def test_the_migrated_tables_are_those_of_the_code(database: Database) -> None:
    with database.reading() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_older_database_with_data_opens(tmp_path: Path, revision: str) -> None:
    engine = database._engine(f"sqlite:///{tmp_path / database.FILE}")
    database.upgrade(engine, revision)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO account (name, role, active, created) VALUES ('anna', 'annotator', 1, 0.0)")
        )
        pairs = ((1, 2, "one", "two"), (3, 4, "beta", "alpha"), (5, 6, "same words", "same words"))
        for number, (first, second, a, b) in enumerate(pairs, 1):
            for name, words, done in ((first, a, 1), (second, b, int(a != b))):
                connection.execute(
                    text("INSERT INTO response (id, name, text, finished, writer) VALUES (:i, 'r', :t, :d, '')"),
                    {"i": name, "t": words, "d": done},
                )
            if number == 1:
                connection.execute(
                    text("INSERT INTO project (id, name, kind, instructions, overlap, lease_seconds, secret, created) "
                         "VALUES (1, 'p', 'compare', '', 1, 600, 's', 0)")
                )  # fmt: skip
                connection.execute(text("INSERT INTO round (id, project_id, number, opened) VALUES (1, 1, 1, 0)"))
            connection.execute(
                text("INSERT INTO item (id, project_id, round_id, key, prompt, first_id, second_id, needed, spare, "
                     "strategy, propensity) VALUES (:i, 1, 1, :k, :p, :a, :b, 1, 1, 'random', 1)"),
                {"i": number, "k": f"k{number}", "p": Prompt(text=f"p{number}").model_dump_json(exclude_defaults=True),
                 "a": first, "b": second},
            )  # fmt: skip
    engine.dispose()
    for _ in range(2):  # opening it again changes nothing
        opened = Database(tmp_path)
        with opened.reading() as connection:
            assert [row.name for row in accounts.all_of(connection)] == ["anna"]
            if revision < "0005":  # nobody sees the order of the import, and what came before has no position
                items = connection.execute(select(tables.item)).all()
                assert [row.place for row in items] == [order.place("s", row.key) for row in items]
                assert len({row.place for row in items}) == 3
                assert connection.execute(select(tables.project.c.check_rate)).scalar_one() is None
            if revision == "0001":  # what is there already gets its coin as if it came today
                turned = {row.id: row.turned for row in connection.execute(select(tables.item))}
                for number, (_, _, a, b) in enumerate(pairs, 1):
                    sides = (Response(id="a", text=a), Response(id="b", text=b, finished=a != b))
                    assert turned[number] == agreement.turned(Prompt(text=f"p{number}"), *sides)
        opened.close()


def test_the_settings_of_sqlite(tmp_path: Path) -> None:
    opened = Database(tmp_path)
    with opened.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 1  # commits don't flush: see below
    opened.close()


def test_what_is_stored_is_flushed_before_anybody_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is flushed after the commit, outside of the writers' queue; leases aren't waited for; waiters share a flush."""
    flushed: list[tuple[str, int, bool]] = []
    opened = Database(tmp_path)
    fsync = os.fsync
    gate = threading.Event()
    gate.set()

    def seen(descriptor: int) -> None:
        name = os.path.realpath(f"/proc/self/fd/{descriptor}")
        flushed.append((Path(name).name, opened.stored, opened.turn.locked()))
        fsync(descriptor)
        assert gate.wait(20)

    monkeypatch.setattr(os, "fsync", seen)
    opened.write(lambda c: accounts.create(c, "anna", "annotator"))
    assert flushed == [("studio.sqlite3-wal", 1, False)]
    opened.write(lambda c: accounts.create(c, "ben", "annotator"), lasting=False)
    assert len(flushed) == 1
    gate.clear()  # a slow disk: the first one holds it, the others write meanwhile and wait for one flush together
    people = [
        threading.Thread(target=opened.write, args=(lambda c, i=i: accounts.create(c, f"p{i}", "annotator"),))
        for i in range(6)
    ]
    for person in people:
        person.start()
    while opened.stored < 8:
        time.sleep(0.005)
    gate.set()
    for person in people:
        person.join(20)
    assert 2 <= len(flushed) <= 3
    assert opened.safe == 8
    opened.close()


def test_the_log_is_brought_into_the_file_beside_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "CHECKPOINT_SECONDS", 0.0)
    opened = Database(tmp_path)
    before = (tmp_path / database.FILE).stat().st_mtime_ns
    opened.write(lambda c: accounts.create(c, "anna", "annotator"))
    with opened.checkpointing:
        pass
    assert (tmp_path / database.FILE).stat().st_mtime_ns > before
    copied = tmp_path / "copy"
    copied.mkdir()
    (copied / database.FILE).write_bytes((tmp_path / database.FILE).read_bytes())  # without its log
    again = Database(copied)
    with again.reading() as connection:
        assert [row.name for row in accounts.all_of(connection)] == ["anna"]
    again.close()
    opened.close()


def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't be opened"):
        Database(tmp_path, f"postgresql:///nothing?host={tmp_path}&connect_timeout=2")
    with pytest.raises(ValueError, match="--database"):
        Database(tmp_path, "nonsense")
