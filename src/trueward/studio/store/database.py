"""Transactions that read and write, on SQLite and PostgreSQL."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, IntegrityError, OperationalError

from trueward.extras import missing

FILE = "studio.sqlite3"
BUSY_SECONDS = 30.0
CHECKPOINT_SECONDS = 5.0  # between two copies of the write-ahead log into SQLite's file
RETRIES = 5
T = TypeVar("T")


class Database:
    """A database whose tables are up to date. url: SQLAlchemy's; a SQLite file in the data directory by default."""

    def __init__(self, data: Path, url: str = "") -> None:
        """data: the studio's directory, created if it isn't there. `ValueError` if the database can't be opened."""
        data.mkdir(parents=True, exist_ok=True)
        self.url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", url) or f"sqlite:///{data / FILE}"
        self.engine = _engine(self.url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self.turn = threading.Lock()
        self.disk = threading.Lock()
        self.stored = self.safe = 0  # transactions that are in the write-ahead log, and that are on the disk
        self.checkpointed, self.checkpointing = time.monotonic(), threading.Lock()
        try:
            upgrade(self.engine)
        except OperationalError as error:
            raise ValueError(f"the studio's database can't be opened: {str(error.orig).splitlines()[0]}") from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection with one consistent view, which waits for no writer."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self, lasting: bool = True) -> Iterator[Connection]:
        """A transaction: all of it is stored when the block ends, or none. On SQLite there is one writer at a time.

        lasting: it survives a power failure from then on. Otherwise, on SQLite, it survives only the end of the process, and
        doesn't wait for the disk: enough for leases. (A PostgreSQL that ends takes what it hasn't flushed with it.)
        """
        # writers of this process queue here: SQLite itself waits by sleeping and retrying, some for long
        with self.turn if self.is_sqlite else nullcontext():
            with self.engine.connect().execution_options(trueward_writes=True) as connection, connection.begin():
                yield connection
            self.stored += 1
            ticket = self.stored
        if self.is_sqlite:
            if lasting:
                self._flush(ticket)
            self._checkpoint_now_and_then()

    def _flush(self, ticket: int) -> None:
        """Wait until the transactions up to this one are on the disk.

        Waiting transactions share one flush, and others can write during it; SQLite's own flush would block the next writer.
        """
        with self.disk:
            if self.safe >= ticket:
                return
            reached = self.stored
            try:
                descriptor = os.open(f"{self.engine.url.database}-wal", os.O_RDONLY)
            except FileNotFoundError:
                return  # the log was copied into the file, which SQLite flushes itself
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            self.safe = reached

    def _checkpoint_now_and_then(self) -> None:
        """Copy the write-ahead log into the file in a thread of its own, so that no writer waits."""
        if time.monotonic() - self.checkpointed > CHECKPOINT_SECONDS and self.checkpointing.acquire(blocking=False):
            self.checkpointed = time.monotonic()
            threading.Thread(target=self._checkpoint, daemon=True).start()

    def _checkpoint(self) -> None:
        try:
            connection = sqlite3.connect(str(self.engine.url.database), timeout=BUSY_SECONDS)
            try:
                connection.execute("PRAGMA synchronous=FULL")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            finally:
                connection.close()
        except sqlite3.Error:
            pass  # the next one will do; SQLite itself does it when the last connection closes
        finally:
            self.checkpointing.release()

    def write(self, work: Callable[[Connection], T], lasting: bool = True) -> T:
        """Call `work` in a writing transaction; once more after a conflict with another (same key, same item, a deadlock)."""
        for _ in range(RETRIES):
            try:
                with self.writing(lasting) as connection:
                    return work(connection)
            except (IntegrityError, OperationalError) as error:
                last = error
        raise last

    def close(self) -> None:
        """Close all connections."""
        with self.checkpointing:
            self.engine.dispose()


def _engine(url: str) -> Engine:
    try:
        if not url.startswith("sqlite"):
            return create_engine(url, pool_size=20, pool_pre_ping=True, hide_parameters=True)
        # isolation_level=None: the driver begins nothing by itself, so that the listener below decides
        settled = {"isolation_level": None, "timeout": BUSY_SECONDS}
        engine = create_engine(
            url, connect_args=settled, pool_size=20, hide_parameters=True
        )  # no value gets into a log
    except ImportError as error:
        raise missing(f"--database {url.partition(':')[0]} needs {error.name}", "postgresql") from None
    except ArgumentError as error:
        raise ValueError(f"--database: {error}") from None

    @event.listens_for(engine, "connect")
    def settings(connection: Any, record: Any) -> None:
        # NORMAL: commits don't flush, `_flush` does; checkpoints are left to `_checkpoint`
        for pragma in ("journal_mode=WAL", "foreign_keys=ON", "synchronous=NORMAL", "wal_autocheckpoint=0"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        options = connection.get_execution_options()
        # a deferred BEGIN that reads first and writes later fails with "database is locked" when two do it at once
        connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("trueward_writes") else "BEGIN")

    return engine


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Migrate the tables to a revision."""
    settings = Config()
    settings.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    with engine.connect().execution_options(trueward_writes=True) as connection, connection.begin():
        settings.attributes["connection"] = connection
        command.upgrade(settings, revision)
