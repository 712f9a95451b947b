"""Tags on runs, to find them by."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select

from trueward.studio.store import tables as t

NAME = re.compile(r"\w[\w .:@+-]{0,38}")
MOST = 20  # on one run


def all_of(connection: Connection) -> dict[str, list[str]]:
    """Tags by run, in alphabetical order."""
    by_run: dict[str, list[str]] = defaultdict(list)
    for row in connection.execute(select(t.tag).order_by(t.tag.c.name)):
        by_run[row.run].append(row.name)
    return by_run


def of(connection: Connection, run: str) -> list[str]:
    """A run's tags, in alphabetical order."""
    return list(connection.scalars(select(t.tag.c.name).where(t.tag.c.run == run).order_by(t.tag.c.name)))


def change(connection: Connection, run: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> list[str]:
    """Add and remove tags of a run; returns its tags. `ValueError` for an invalid tag, or too many."""
    new = [name.strip() for name in add]
    for name in new:
        if not NAME.fullmatch(name):
            raise ValueError(f"tag {name!r}: expected letters, digits, spaces and . : @ + - _, at most 39")
    connection.execute(delete(t.tag).where(t.tag.c.run == run, t.tag.c.name.in_(list(remove))))
    there = of(connection, run)
    fresh = [name for name in dict.fromkeys(new) if name not in there]
    if len(there) + len(fresh) > MOST:
        raise ValueError(f"{run}: at most {MOST} tags")
    if fresh:
        connection.execute(insert(t.tag), [{"run": run, "name": name} for name in fresh])
    return sorted([*there, *fresh])
