"""The database's door: reads and writes as transactions, SQLite and PostgreSQL alike."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError

FILE = "studio.sqlite3"
BUSY_SECONDS = 30.0
RETRIES = 5
T = TypeVar("T")


class Database:
    """A database whose tables are up to date. `url`: SQLAlchemy's; a SQLite file in the data directory by default."""

    def __init__(self, data: Path, url: str = "") -> None:
        data.mkdir(parents=True, exist_ok=True)
        self.url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url) or f"sqlite:///{data / FILE}"
        self.engine = _engine(self.url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.turn = threading.Lock()
        try:
            upgrade(self.engine)
        except OperationalError as error:
            raise ValueError(f"the studio's database can't be opened: {str(error.orig).splitlines()[0]}") from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """One consistent view, which waits for nobody."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, lasting: bool = True) -> Iterator[Connection]:
        """All of it is stored when the block ends, or none. On SQLite one writer at a time, from its first statement on.

        lasting: it survives a power cut from then on. Otherwise it survives the end of the process alone, and doesn't wait
        for the disk: enough for leases.
        """
        # writers of this process queue here: SQLite's own way of waiting is to sleep and try again, and some sleep long
        with self.turn if self.is_sqlite else nullcontext():
            options = {"trueward_writes": True, "trueward_lasting": lasting}
            with self.engine.connect().execution_options(**options) as connection, connection.begin():
                if not lasting and not self.is_sqlite:
                    connection.exec_driver_sql("SET LOCAL synchronous_commit TO OFF")
                yield connection

    def write(self, work: Callable[[Connection], T], lasting: bool = True) -> T:
        """`work` in a writing transaction; once more if another one was faster (same key, same item, a deadlock)."""
        for _ in range(RETRIES):
            try:
                with self.writing(lasting) as connection:
                    return work(connection)
            except (IntegrityError, OperationalError) as error:
                last = error
        raise last

    def close(self) -> None:
        self.engine.dispose()


def _engine(url: str) -> Engine:
    try:
        if not url.startswith("sqlite"):
            return create_engine(url, pool_size=20, pool_pre_ping=True)
        # isolation_level=None: the driver begins nothing by itself, so that the listener below decides
        engine = create_engine(url, connect_args={"isolation_level": None, "timeout": BUSY_SECONDS}, pool_size=20)
    except (ArgumentError, ImportError) as error:
        raise ValueError(f"--database: {error}") from None

    @event.listens_for(engine, "connect")
    def settings(connection: Any, record: Any) -> None:
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        if options.get("trueward_writes"):  # can't be changed within a transaction
            connection.exec_driver_sql(
                f"PRAGMA synchronous={'FULL' if options.get('trueward_lasting', True) else 'NORMAL'}"
            )
        # a deferred BEGIN that reads first and writes later fails with "database is locked" when two do it at once
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("trueward_writes") else "BEGIN")

    return engine


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the tables to a revision."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.connect().execution_options(trueward_writes=True) as connection, connection.begin():
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
