"""A studio in this process, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from trueward.studio import app
from trueward.studio.api.gate import Names
from trueward.studio.api.place import Studio
from trueward.studio.runs.library import Library
from trueward.studio.store import accounts
from trueward.studio.store.database import Database

sys.path.insert(0, str(Path(__file__).parent))  # for the modules beside this one that are no tests
import own_postgresql

PORT = 8600
ADDRESS = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The directory of a server's socket: a server of its own, that listens nowhere else and ends with the tests."""
    with own_postgresql.server() as made:
        yield str(made.folder)


def fresh_postgres(folder: str) -> str:
    import psycopg

    name = f"t{uuid.uuid4().hex}"  # a schema, which is quicker to make and to forget than a database
    with psycopg.connect(f"host={folder} user=postgres dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")  # type: ignore[arg-type]  # a name made here
    return f"postgresql://postgres@/postgres?host={folder}&options=-csearch_path%3D{name}"


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest) -> str:
    """SQLAlchemy's URL of an empty database; empty for SQLite's default."""
    return "" if request.param == "sqlite" else fresh_postgres(request.getfixturevalue("postgres"))


@pytest.fixture
def database(url: str, tmp_path: Path) -> Iterator[Database]:
    made = Database(tmp_path / "studio", url)
    yield made
    made.close()


@pytest.fixture
def studio(database: Database, tmp_path: Path) -> Studio:
    (tmp_path / "runs").mkdir()
    return Studio(tmp_path / "studio", database, Library(tmp_path / "runs"))


Client = Callable[..., TestClient]


@pytest.fixture
def client(studio: Studio) -> Iterator[Client]:
    """Signs somebody in: `client("anna", "annotator")`. Without a name: a stranger."""
    application = app.make(studio, Names.of(PORT))
    made: list[TestClient] = []

    def sign_in(name: str = "", role: str = "annotator") -> TestClient:
        one = TestClient(application, base_url=ADDRESS, headers={"origin": ADDRESS}, raise_server_exceptions=True)
        if name:
            invite = studio.database.write(lambda c: accounts.grant(c, accounts.create(c, name, role), "invite"))
            assert one.post("/api/enter", json={"token": invite}).status_code == 200
        made.append(one)
        return one

    yield sign_in
    for one in made:
        one.close()


@pytest.fixture
def jsonl() -> Callable[[list[Any]], str]:
    import json

    return lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
