"""Many answers excluded at once, for one reason, and taken back in. Each is an event of its own in the log."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from sqlalchemy import Connection, select

from trueward.studio.store import answers
from trueward.studio.store import tables as t
from trueward.studio.store.answers import RefusedError
from trueward.studio.store.tables import DbRow

CHUNK = 500


def of_annotator(connection: Connection, project: DbRow, name: str, state: str) -> list[str]:
    """Ids of an annotator's answers in a project that are in this state. `RefusedError` if nobody has that name."""
    account = connection.execute(select(t.account.c.id).where(t.account.c.name == name)).scalar()
    if account is None:
        raise RefusedError(f"there is no account {name!r}")
    query = (
        select(t.assignment.c.id)
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .where(t.assignment.c.account_id == account, t.assignment.c.state == state, t.item.c.project_id == project.id)
        .order_by(t.item.c.id)
    )
    return list(connection.scalars(query))


def exclude(
    connection: Connection, admin_id: int, project: DbRow, assignments: Sequence[str], key: str, reason: str
) -> int:
    """Stop counting these answers; how many that were. `RefusedError` for one that is none of the project's."""
    ids = _checked(connection, project, assignments)
    return sum(answers.exclude(connection, admin_id, each, _key(key, each), reason) for each in ids)


def include(
    connection: Connection, admin_id: int, project: DbRow, assignments: Sequence[str], key: str, reason: str = ""
) -> Counter[str]:
    """Take exclusions back; how many answers are `answered` again, and how many `surplus` since others took their place."""
    ids = _checked(connection, project, assignments)
    states = (answers.include(connection, admin_id, each, _key(key, each), reason) for each in ids)
    return Counter(state for state in states if state is not None)


def _key(key: str, assignment: str) -> str:
    """An event's key: the same for the same request sent twice."""
    return hashlib.sha256(f"{key}\0{assignment}".encode()).hexdigest()[:64]


def _checked(connection: Connection, project: DbRow, assignments: Sequence[str]) -> list[str]:
    """The ids, each once, in the order of their items: one order of locks, so no deadlock."""
    known: list[DbRow] = []
    wanted = list(dict.fromkeys(assignments))
    for start in range(0, len(wanted), CHUNK):
        query = (
            select(t.assignment.c.id, t.assignment.c.item_id)
            .join(t.item, t.item.c.id == t.assignment.c.item_id)
            .where(t.assignment.c.id.in_(wanted[start : start + CHUNK]), t.item.c.project_id == project.id)
        )
        known += connection.execute(query).all()
    if missing := len(wanted) - len(known):
        raise RefusedError(f"{missing} of {len(wanted)} are no answers in {project.name}")
    return [str(row.id) for row in sorted(known, key=lambda row: (row.item_id, row.id))]
