"""People's answers: events in an append-only log, each click stored once however often it is sent."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Connection, insert, select, update

from trueward.studio.store import criteria, projects, rankings, tallies
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

Side = Literal["left", "right"]
KINDS = {"compare": ("win", "tie"), "rank": ("rank",), "write": ("write",)}  # of answers, by the kind of the project


class RefusedError(Exception):
    """The answer can't be stored, and sending it again won't help."""


@dataclass(frozen=True)
class Answer:
    """One click. key: chosen by the client; an answer sent twice with the same key is stored once.

    criteria: what it says to a project's further questions, by side, as `criteria.stored` takes it. ranks: of a ranking, one
    for each answer in the order shown, of which 1 is the best.
    """

    assignment: str
    key: str
    kind: Literal["win", "tie", "rank", "skip", "write"]
    side: Side | None = None
    strength: int | None = None
    both: Literal["good", "bad"] | None = None
    text: str | None = None
    reason: str | None = None
    seconds: float | None = None
    read: bool | None = None
    criteria: Mapping[str, Any] = field(default_factory=dict)
    ranks: Sequence[int] | None = None


def store(connection: Connection, account_id: int, answer: Answer) -> str:
    """Store an answer; returns the assignment's state after it.

    A second answer to the same item supersedes the first. One that arrives when the item has all its answers, or its
    round is closed, is stored as `surplus`, which doesn't count.
    """
    if (known := _event(connection, answer.key)) is not None:
        if known.account_id != account_id or known.assignment_id != answer.assignment:
            raise RefusedError("this key belongs to another answer")
        return str(_assignment(connection, answer.assignment, account_id).state)
    turn = _assignment(connection, answer.assignment, account_id)
    item = _locked_item(connection, turn.item_id)
    project_kind, secret, closed = connection.execute(
        select(t.project.c.kind, t.project.c.secret, t.round_.c.closed)
        .join(t.round_, t.round_.c.project_id == t.project.c.id)
        .where(t.round_.c.id == item.round_id)
        .with_for_update(read=True, of=t.round_)  # the round can't be closed during this transaction
    ).one()
    if answer.kind not in ("skip", *KINDS[project_kind]):
        raise RefusedError(f"{answer.kind}: not an answer in a project to {project_kind}")
    if (answer.kind == "win") != (answer.side is not None):
        raise RefusedError("a win has a side, and nothing else has one")
    if (answer.kind == "rank") != (answer.ranks is not None):
        raise RefusedError("a ranking has ranks, and nothing else has them")
    if answer.criteria and answer.kind not in ("win", "tie"):
        raise RefusedError("criteria: only a comparison answers further questions")
    if answer.kind == "write" and not (answer.text or "").strip():
        raise RefusedError("a demonstration can't be empty")
    turn = _assignment(connection, answer.assignment, account_id)  # read again, now that the item is locked
    if turn.state == "excluded":
        raise RefusedError("this answer was excluded")
    holds = turn.state in ("leased", "answered")  # this assignment takes one of the item's places
    if closed is not None:
        state = "surplus"
    elif answer.kind == "skip":
        state = "skipped"
    elif holds or item.spare > 0:
        state = "answered"
    else:
        state = "surplus"
    if closed is None:
        _spare(connection, item.id, int(holds) - int(state == "answered"))
    chosen = None
    if answer.side:
        other = item.second_id if turn.left_id == item.first_id else item.first_id
        chosen = turn.left_id if answer.side == "left" else other
    try:
        further = criteria.stored(answer.criteria, turn.left_id == item.first_id)
        ranks = _ranks(connection, secret, item.id, account_id, answer.ranks)
    except ValueError as error:
        raise RefusedError(str(error)) from None
    made = _append(
        connection, account_id, turn,
        key=answer.key, kind=answer.kind, chosen_id=chosen, strength=answer.strength, both=answer.both,
        text=answer.text or None, reason=answer.reason or None, seconds=answer.seconds, supersedes=turn.answer_id,
        position=turn.position, read=answer.read, criteria=further, ranks=ranks,
    )  # fmt: skip
    connection.execute(update(t.assignment).where(t.assignment.c.id == turn.id).values(state=state, answer_id=made))
    tallies.refresh(connection, item.id)
    return state


def undo(connection: Connection, account_id: int, project: DbRow, key: str, target: str | None = None) -> str | None:
    """Take back the account's answer with the key `target`, or its last one; returns the assignment to answer again."""
    if (known := _event(connection, key)) is not None:
        if known.account_id != account_id or known.kind != "undo":
            raise RefusedError("this key belongs to another answer")
        return str(known.assignment_id)
    round_id = projects.open_round(connection, project.id).id
    standing = (
        select(t.event.c.id, t.event.c.assignment_id)
        .join(t.assignment, t.assignment.c.answer_id == t.event.c.id)
        .join(t.item, t.item.c.id == t.event.c.item_id)
        .where(
            t.event.c.account_id == account_id,
            t.item.c.round_id == round_id,
            t.assignment.c.state.in_(("answered", "skipped", "surplus")),
        )
        .order_by(t.event.c.id.desc())
        .limit(1)
    )
    if target:
        standing = standing.where(t.event.c.key == target)
    if (last := connection.execute(standing).first()) is None:
        return None
    turn = _assignment(connection, last.assignment_id, account_id)
    item = _locked_item(connection, turn.item_id)
    turn = _assignment(connection, last.assignment_id, account_id)
    if turn.answer_id != last.id or turn.state not in ("answered", "skipped", "surplus"):
        raise RefusedError("that answer has changed in the meantime")
    needs_place = turn.state != "answered"
    if needs_place and item.spare < 1:
        raise RefusedError("others have answered it since")
    _spare(connection, item.id, -int(needs_place))
    _append(connection, account_id, turn, key=key, kind="undo", supersedes=last.id)
    until = time.time() + project.lease_seconds
    connection.execute(
        update(t.assignment)
        .where(t.assignment.c.id == turn.id)
        .values(state="leased", answer_id=None, leased_until=until)
    )
    tallies.refresh(connection, item.id)
    return str(turn.id)


def exclude(connection: Connection, admin_id: int, assignment: str, key: str, reason: str) -> bool:
    """Stop counting an answer, for a reason; its item then needs another one. False if there was nothing to exclude."""
    if not reason.strip():
        raise RefusedError("an exclusion has a reason")
    if _event(connection, key) is not None:
        return True
    turn = connection.execute(select(t.assignment).where(t.assignment.c.id == assignment)).first()
    if turn is None:
        raise RefusedError("there is no such answer")
    item = _locked_item(connection, turn.item_id)
    turn = connection.execute(select(t.assignment).where(t.assignment.c.id == assignment)).one()
    if turn.state != "answered":
        return False
    _append(connection, admin_id, turn, key=key, kind="exclude", reason=reason.strip(), supersedes=turn.answer_id)
    connection.execute(update(t.assignment).where(t.assignment.c.id == turn.id).values(state="excluded"))
    if connection.scalar(select(t.round_.c.closed).where(t.round_.c.id == item.round_id)) is None:
        _spare(connection, item.id, 1)
    tallies.refresh(connection, item.id)
    return True


def include(connection: Connection, admin_id: int, assignment: str, key: str, reason: str = "") -> str | None:
    """Take an exclusion back; the answer's state after it, or None if it was not excluded.

    If others have given the item all its answers since, it comes back as `surplus`, which doesn't count.
    """
    turn = connection.execute(select(t.assignment).where(t.assignment.c.id == assignment)).first()
    if turn is None:
        raise RefusedError("there is no such answer")
    if _event(connection, key) is not None:
        return str(turn.state)
    item = _locked_item(connection, turn.item_id)
    turn = connection.execute(select(t.assignment).where(t.assignment.c.id == assignment)).one()
    if turn.state != "excluded":
        return None
    closed = connection.scalar(select(t.round_.c.closed).where(t.round_.c.id == item.round_id))
    state = "answered" if closed is not None or item.spare > 0 else "surplus"
    _append(connection, admin_id, turn, key=key, kind="include", reason=reason.strip() or None)
    connection.execute(update(t.assignment).where(t.assignment.c.id == turn.id).values(state=state))
    if closed is None and state == "answered":
        _spare(connection, item.id, -1)
    tallies.refresh(connection, item.id)
    return state


def _ranks(
    connection: Connection, secret: str, item_id: int, account_id: int, ranks: Sequence[int] | None
) -> str | None:
    if ranks is None:
        return None
    count = len(rankings.of_items(connection, [item_id])[item_id])
    return rankings.stored(ranks, rankings.shown_order(secret, item_id, account_id, count))


def _append(connection: Connection, account_id: int, turn: DbRow, **values: Any) -> int:
    row = {"at": time.time(), "account_id": account_id, "item_id": turn.item_id, "assignment_id": turn.id, **values}
    return int(connection.execute(insert(t.event).values(row).returning(t.event.c.id)).scalar_one())


def _event(connection: Connection, key: str) -> DbRow | None:
    return connection.execute(select(t.event).where(t.event.c.key == key)).first()


def _assignment(connection: Connection, name: str, account_id: int) -> DbRow:
    mine = (t.assignment.c.id == name) & (t.assignment.c.account_id == account_id)
    row = connection.execute(select(t.assignment).where(mine)).first()
    if row is None:
        raise RefusedError("there is no such assignment of yours")
    return row


def _locked_item(connection: Connection, item_id: int) -> DbRow:
    return connection.execute(select(t.item).where(t.item.c.id == item_id).with_for_update()).one()


def _spare(connection: Connection, item_id: int, change: int) -> None:
    if change:
        connection.execute(update(t.item).where(t.item.c.id == item_id).values(spare=t.item.c.spare + change))
