"""What reviewers do on an item: decide it over its votes, take that back, comment. Each is an event of its own."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update

from trueward.studio.store import rankings
from trueward.studio.store import tables as t
from trueward.studio.store.answers import RefusedError
from trueward.studio.store.tables import DbRow

Choice = Literal["first", "second", "tie"]
MIDDLE = 0.5


@dataclass(frozen=True)
class Decision:
    """A reviewer's outcome of an item. key: chosen by the client; one that is sent twice is stored once.

    choice: of a pair. ranks: of an item that is ranked, by its answers in the desk's order.
    """

    item: int
    key: str
    choice: Choice | None = None
    strength: int | None = None
    reason: str = ""
    ranks: Sequence[int] | None = None


def adjudicate(connection: Connection, account_id: int, project: DbRow, decision: Decision) -> int:
    """Store a decision, which counts over the item's votes when its round closes; a second one supersedes the first.

    Returns the event's id. `RefusedError` for a check pair, an item of a closed round, and a project to write in.
    """
    if (known := _known(connection, decision.key, account_id, "adjudicate")) is not None:
        return int(known.id)
    if project.kind == "write":
        raise RefusedError("adjudication is between answers, and people write in this project")
    if (project.kind == "rank") != (decision.ranks is not None):
        raise RefusedError(
            f"a decision in a project to {project.kind} has {'ranks' if project.kind == 'rank' else 'a choice'}"
        )
    row = _open_item(connection, project, decision.item)
    if row.check_id is not None:
        raise RefusedError("the outcome of a check pair is known: there is nothing to adjudicate")
    if decision.choice not in ("first", "second") and decision.strength is not None:
        raise RefusedError("a tie has no strength")
    chosen = {"first": row.first_id, "second": row.second_id}.get(decision.choice or "")
    made = _append(
        connection, account_id, row.id, key=decision.key, kind="adjudicate", chosen_id=chosen,
        strength=decision.strength, reason=decision.reason.strip() or None, supersedes=row.decision_id,
        ranks=None if decision.ranks is None else _ranks(connection, row, decision.ranks),
    )  # fmt: skip
    connection.execute(update(t.tally).where(t.tally.c.item_id == row.id).values(decision_id=made))
    return made


def withdraw(connection: Connection, account_id: int, project: DbRow, item_id: int, key: str) -> bool:
    """Take a decision back, so that the votes count again; False if there is none."""
    if _known(connection, key, account_id, "withdraw") is not None:
        return True
    row = _open_item(connection, project, item_id)
    if row.decision_id is None:
        return False
    _append(connection, account_id, row.id, key=key, kind="withdraw", supersedes=row.decision_id)
    connection.execute(update(t.tally).where(t.tally.c.item_id == row.id).values(decision_id=None))
    return True


def comment(connection: Connection, account_id: int, project: DbRow, item_id: int, key: str, text: str) -> int:
    """Add a comment to an item, in an open round or a closed one; the event's id. No annotator sees it."""
    if not text.strip():
        raise RefusedError("a comment can't be empty")
    if (known := _known(connection, key, account_id, "comment")) is not None:
        return int(known.id)
    row = _item(connection, project, item_id)
    made = _append(connection, account_id, row.id, key=key, kind="comment", text=text.strip())
    more = t.tally.c.comments + 1
    connection.execute(update(t.tally).where(t.tally.c.item_id == row.id).values(comments=more))
    return made


def standing(connection: Connection, project_id: int, round_id: int | None = None) -> list[DbRow]:
    """The decisions that count, in the order in which they were made, with their items; as `counts.votes` gives them."""
    query = (
        select(
            t.item.c.id.label("item_id"), t.item.c.prompt, t.item.c.first_id, t.item.c.second_id, t.item.c.check_id,
            t.item.c.round_id, t.event.c.id.label("event_id"), t.account.c.name, t.event.c.at, t.event.c.chosen_id,
            t.event.c.strength, t.event.c.reason, t.event.c.ranks,
        )
        .join(t.tally, t.tally.c.item_id == t.item.c.id)
        .join(t.event, t.event.c.id == t.tally.c.decision_id)
        .join(t.account, t.account.c.id == t.event.c.account_id)
        .where(t.tally.c.project_id == project_id, t.tally.c.decision_id.is_not(None))
        .order_by(t.event.c.id)
    )  # fmt: skip
    if round_id is not None:
        query = query.where(t.item.c.round_id == round_id)
    return rankings.as_pairs(connection, connection.execute(query).all())


def probability(decision: DbRow) -> float:
    """The decision as the probability that the item's first response is the better one."""
    return MIDDLE if decision.chosen_id is None else float(decision.chosen_id == decision.first_id)


def _ranks(connection: Connection, row: DbRow, ranks: Sequence[int]) -> str:
    count = len(rankings.of_items(connection, [row.id])[row.id])
    try:
        return rankings.stored(ranks, rankings.desk_order(row.key, count))
    except ValueError as error:
        raise RefusedError(str(error)) from None


def _open_item(connection: Connection, project: DbRow, item_id: int) -> DbRow:
    row = _item(connection, project, item_id)
    closed = connection.execute(
        select(t.round_.c.number, t.round_.c.closed)
        .where(t.round_.c.id == row.round_id)
        .with_for_update(read=True)  # the round can't be closed during this transaction
    ).one()
    if closed.closed is not None:
        raise RefusedError(f"round {closed.number} is closed, and its file stays as it is")
    return row


def _item(connection: Connection, project: DbRow, item_id: int) -> DbRow:
    mine = (t.item.c.id == item_id) & (t.item.c.project_id == project.id)
    if connection.execute(select(t.item.c.id).where(mine).with_for_update()).first() is None:
        raise RefusedError(f"there is no item {item_id} in {project.name}")
    query = select(t.item, t.tally.c.decision_id).join(t.tally, t.tally.c.item_id == t.item.c.id).where(mine)
    return connection.execute(query).one()


def _known(connection: Connection, key: str, account_id: int, kind: str) -> DbRow | None:
    row = connection.execute(select(t.event).where(t.event.c.key == key)).first()
    if row is not None and (row.account_id, row.kind) != (account_id, kind):
        raise RefusedError("this key belongs to another event")
    return row


def _append(connection: Connection, account_id: int, item_id: int, **values: Any) -> int:
    row = {"at": time.time(), "account_id": account_id, "item_id": item_id, "assignment_id": "", **values}
    return int(connection.execute(insert(t.event).values(row).returning(t.event.c.id)).scalar_one())
