"""A note on a run: some sentences, by whom, and when."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from trueward.studio.store import tables as t

MOST = 4000  # characters


def all_of(connection: Connection) -> dict[str, dict[str, Any]]:
    """Notes by run: text, by, at."""
    rows = connection.execute(select(t.run_note))
    return {row.run: {"text": row.text, "by": row.by, "at": row.at} for row in rows}


def of(connection: Connection, run: str) -> dict[str, Any] | None:
    """A run's note; None if it has none."""
    row = connection.execute(select(t.run_note).where(t.run_note.c.run == run)).one_or_none()
    return None if row is None else {"text": row.text, "by": row.by, "at": row.at}


def put(connection: Connection, run: str, text: str, by: str) -> dict[str, Any] | None:
    """Replace a run's note; an empty one takes it away. Returns it."""
    connection.execute(delete(t.run_note).where(t.run_note.c.run == run))
    if text.strip():
        row = {"run": run, "text": text.strip(), "by": by, "at": time.time()}
        connection.execute(insert(t.run_note), row)
    return of(connection, run)
