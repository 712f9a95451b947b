"""The migrations make the tables that the code means, from every released revision on, and keep what is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

import trueward.studio.store
from trueward.studio.store import accounts, database, tables
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
    engine.dispose()
    for _ in range(2):  # opening it again changes nothing
        opened = Database(tmp_path)
        with opened.reading() as connection:
            assert [row.name for row in accounts.all_of(connection)] == ["anna"]
        opened.close()


def test_the_settings_of_sqlite(tmp_path: Path) -> None:
    opened = Database(tmp_path)
    with opened.reading() as connection:
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
        assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
        assert connection.execute(text("PRAGMA synchronous")).scalar() == 2
    opened.close()


def test_a_database_that_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="can't be opened"):
        Database(tmp_path, f"postgresql:///nothing?host={tmp_path}&connect_timeout=2")
    with pytest.raises(ValueError, match="--database"):
        Database(tmp_path, "nonsense")
