"""A studio in this process, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
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

sys.path.insert(0, str(Path(__file__).parent))  # for odd_requests, which is no test

PORT = 8600
ADDRESS = f"http://127.0.0.1:{PORT}"


def postgres_binary(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else shutil.which(name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The directory of a server's socket: a server of its own, that listens nowhere else and ends with the tests."""
    initdb, server = postgres_binary("initdb"), postgres_binary("postgres")
    if not initdb or not server:
        pytest.skip("no PostgreSQL here (initdb and postgres): install one to run these tests on it too")
    user = "postgres" if os.getuid() == 0 else None  # it refuses to be root
    if user and user not in {entry.pw_name for entry in pwd.getpwall()}:
        pytest.skip("PostgreSQL refuses to run as root, and there is no account `postgres` to run it")
    folder = Path(tempfile.mkdtemp(prefix="trueward-postgres-"))
    if user:
        shutil.chown(folder, user)
    subprocess.run(
        [initdb, "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync"],
        check=True, capture_output=True, user=user, cwd=folder,
    )  # fmt: skip
    settings = ("listen_addresses=", f"unix_socket_directories={folder}", "fsync=off", "max_connections=60")
    running = subprocess.Popen(
        [server, "-D", str(folder / "data"), *(part for each in settings for part in ("-c", each))],
        user=user, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(folder / ".s.PGSQL.5432")
        yield str(folder)
    finally:
        running.send_signal(signal.SIGINT)  # PostgreSQL's fast way to stop
        running.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(path: Path) -> None:
    for _ in range(300):
        if path.exists():
            time.sleep(0.3)  # the socket is there a little before it is answered
            return
        time.sleep(0.05)
    pytest.fail(f"PostgreSQL did not come up: {path}")


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
