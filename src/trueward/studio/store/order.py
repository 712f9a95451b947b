"""In which order an account gets the items of a round: shuffled for each of them, with check pairs at a set rate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sqlalchemy import Connection, func, literal_column, select

from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

WINDOW = 100  # items among which an account's order is its own
# as a constant in the statement, not as a parameter, so that the partial index applies
FREE = t.item.c.spare > literal_column("0")


def place(secret: str, key: str) -> int:
    """An item's place in its project: by a hash, so that it has nothing to do with the order of the import."""
    return _drawn(secret, "place", key) >> 33


def last_position(connection: Connection, project_id: int, account_id: int) -> int:
    """How many items of the project this account was given so far."""
    query = (
        select(func.coalesce(func.max(t.assignment.c.position), 0))
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .where(t.assignment.c.account_id == account_id, t.item.c.project_id == project_id)
    )
    return int(connection.execute(query).scalar_one())


def candidates(connection: Connection, project: DbRow, round_id: int, account_id: int, position: int) -> Iterator[int]:
    """Ids of free items that this account has not had, in its order; position: of the last item that it got.

    Everybody goes through the same shuffled places, so that an item's votes come soon after each other, and has an order of
    their own among the next 100. With a rate, each turn is one for a check pair with that probability, drawn anew for each
    account and position; where one kind has run out, the other has its turns.
    """
    if project.check_rate is None:
        yield from _window(connection, project, round_id, account_id, None)
        return
    kinds = [iter(_window(connection, project, round_id, account_id, checks)) for checks in (False, True)]
    while True:
        position += 1
        turn = _drawn(project.secret, "check", f"{account_id}\0{position}") < project.check_rate * 2**64
        found = next(kinds[turn], None)
        if found is None and (found := next(kinds[not turn], None)) is None:
            return
        yield found


def _window(connection: Connection, project: DbRow, round_id: int, account_id: int, checks: bool | None) -> list[int]:
    mine = (t.assignment.c.item_id == t.item.c.id) & (t.assignment.c.account_id == account_id)
    query = (
        select(t.item.c.id)
        .outerjoin(t.assignment, mine)
        .where(t.item.c.round_id == round_id, FREE, t.assignment.c.id.is_(None) | (t.assignment.c.state == "released"))
        .order_by(t.item.c.place, t.item.c.id)
        .limit(WINDOW)
    )
    if checks is not None:
        query = query.where(t.item.c.check_id.is_not(None) if checks else t.item.c.check_id.is_(None))
    ids = connection.scalars(query)
    return sorted(ids, key=lambda number: _drawn(project.secret, "order", f"{account_id}\0{number}"))


def _drawn(secret: str, purpose: str, what: str) -> int:
    """64 bits that nobody can guess who doesn't know the project's secret."""
    return int.from_bytes(hashlib.sha256(f"{secret}\0{purpose}\0{what}".encode()).digest()[:8])
