"""Latest answers: an account's own, and everybody's for an admin."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, select

from trueward.studio.store import rankings
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

LAST = 100


def own(connection: Connection, project: DbRow, account_id: int) -> list[dict[str, Any]]:
    """An account's own answers that count, newest first, by side and never by writer."""
    rows = _standing(connection, project, account_id)
    return [
        {
            "assignment": row.assignment_id,
            "key": row.key,
            "at": row.at,
            "prompt": json.loads(row.prompt),
            "kind": row.kind,
            "text": row.text,
            "state": row.state,
        }
        for row in rows
    ]


def latest(connection: Connection, project: DbRow) -> list[dict[str, Any]]:
    """Everybody's latest answers with who gave them, for an admin. `ranked`: texts, the best first."""
    rows = _standing(connection, project)
    answers = rankings.of_items(connection, [row.item_id for row in rows if row.ranks is not None])
    return [
        {
            "assignment": row.assignment_id,
            "at": row.at,
            "account": row.name,
            "prompt": json.loads(row.prompt),
            "kind": row.kind,
            "chosen": row.chosen,
            "other": row.second if row.chosen_id == row.first_id else row.first,
            "strength": row.strength,
            "text": row.text,
            "reason": row.reason,
            "state": row.state,
            "right": None if row.check_id is None else row.check_id == row.chosen_id,
            "ranked": _ranked(row, answers),
        }
        for row in rows
    ]


def _ranked(row: DbRow, answers: dict[int, list[DbRow]]) -> list[str] | None:
    if row.ranks is None:
        return None
    ranked = zip(json.loads(row.ranks), answers[row.item_id], strict=True)
    return [answer.text for _, answer in sorted(ranked, key=lambda pair: pair[0])]


def _standing(connection: Connection, project: DbRow, account_id: int | None = None) -> list[DbRow]:
    # the last ones first, by their numbers alone: texts of all others are never read
    last = (
        select(t.assignment.c.answer_id)
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .where(t.item.c.project_id == project.id, t.assignment.c.answer_id.is_not(None))
        .order_by(t.assignment.c.answer_id.desc())
        .limit(LAST)
    )
    if account_id is not None:
        last = last.where(t.assignment.c.account_id == account_id)
    ids = list(connection.scalars(last))
    first, second, chosen = (t.response.alias(name) for name in ("first", "second", "chosen"))
    query = (
        select(
            t.event.c.key, t.event.c.assignment_id, t.event.c.at, t.event.c.kind, t.event.c.text, t.event.c.reason,
            t.event.c.strength, t.event.c.chosen_id, t.event.c.ranks, t.event.c.item_id,
            t.assignment.c.state, t.account.c.name, t.item.c.prompt,
            t.item.c.first_id, t.item.c.check_id, first.c.text.label("first"), second.c.text.label("second"),
            chosen.c.text.label("chosen"),
        )
        .join(t.assignment, (t.assignment.c.id == t.event.c.assignment_id) & (t.assignment.c.answer_id == t.event.c.id))
        .join(t.account, t.account.c.id == t.assignment.c.account_id)
        .join(t.item, t.item.c.id == t.event.c.item_id)
        .outerjoin(first, first.c.id == t.item.c.first_id)
        .outerjoin(second, second.c.id == t.item.c.second_id)
        .outerjoin(chosen, chosen.c.id == t.event.c.chosen_id)
        .where(t.event.c.id.in_(ids))
        .order_by(t.event.c.id.desc())
    )  # fmt: skip
    return list(connection.execute(query).all())
