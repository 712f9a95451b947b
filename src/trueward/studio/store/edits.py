"""Answers that people made better: each is a demonstration, and a comparison in which it beats what it was made from."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select

from trueward.records import ASSISTANT, Comparison, Prompt, Response, response_id
from trueward.studio.store import tables as t
from trueward.studio.store.answers import RefusedError
from trueward.studio.store.tables import DbRow


def store(
    connection: Connection, account_id: int, assignment: str, key: str, side: Literal["left", "right"], text: str
) -> str:
    """Keep a better version of an answer; a second one supersedes the first. Returns `edited`.

    One that comes when its round is closed is kept, and counts nowhere: `surplus`.
    """
    known = connection.execute(select(t.event).where(t.event.c.key == key)).first()
    if known is not None:
        if (known.account_id, known.kind, known.assignment_id) != (account_id, "edit", assignment):
            raise RefusedError("this key belongs to another event")
        return "edited"
    mine = (t.assignment.c.id == assignment) & (t.assignment.c.account_id == account_id)
    row = connection.execute(
        select(t.assignment.c.left_id, t.item.c.id, t.item.c.first_id, t.item.c.second_id, t.round_.c.closed)
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .join(t.round_, t.round_.c.id == t.item.c.round_id)
        .where(mine)
        .with_for_update(read=True, of=t.round_)
    ).first()
    if row is None or row.first_id is None:
        raise RefusedError("there is no such pair of yours")
    other = row.second_id if row.left_id == row.first_id else row.first_id
    source = row.left_id if side == "left" else other
    before = connection.execute(select(t.response.c.text).where(t.response.c.id == source)).scalar_one()
    if not text.strip() or text == before:
        raise RefusedError("a better answer is a text, and another one than before")
    last = select(func.max(t.event.c.id)).where(t.event.c.assignment_id == assignment, t.event.c.kind == "edit")
    values = {
        "at": time.time(), "account_id": account_id, "item_id": row.id, "assignment_id": assignment, "key": key,
        "kind": "edit", "chosen_id": source, "text": text, "supersedes": connection.scalar(last),
    }  # fmt: skip
    connection.execute(insert(t.event).values(values))
    return "edited" if row.closed is None else "surplus"


def standing(connection: Connection, project_id: int, round_id: int | None = None) -> list[DbRow]:
    """The versions that count, oldest first: the last one of each person and item, without those of excluded answers."""
    later = t.event.alias("later")
    superseded = select(later.c.id).where(later.c.kind == "edit", later.c.supersedes == t.event.c.id)
    source = t.response.alias("source")
    query = (
        select(
            t.event.c.id.label("event_id"), t.event.c.item_id, t.event.c.assignment_id, t.event.c.text, t.event.c.at,
            t.account.c.name, t.item.c.prompt, t.item.c.check_id, source.c.name.label("source_name"),
            source.c.text.label("source_text"), source.c.finished.label("source_finished"),
        )
        .join(t.item, t.item.c.id == t.event.c.item_id)
        .join(t.round_, t.round_.c.id == t.item.c.round_id)
        .join(t.assignment, t.assignment.c.id == t.event.c.assignment_id)
        .join(t.account, t.account.c.id == t.event.c.account_id)
        .join(source, source.c.id == t.event.c.chosen_id)
        .where(
            t.item.c.project_id == project_id,
            t.event.c.kind == "edit",
            t.assignment.c.state != "excluded",
            t.round_.c.closed.is_(None) | (t.event.c.at <= t.round_.c.closed),
            ~superseded.exists(),
        )
        .order_by(t.event.c.id)
    )  # fmt: skip
    if round_id is not None:
        query = query.where(t.item.c.round_id == round_id)
    return list(connection.execute(query).all())


def comparison(project: str, row: DbRow) -> Comparison:
    """A better version as the one that beats its source."""
    prompt = Prompt.model_validate_json(row.prompt)
    return Comparison(
        prompt=prompt,
        first=Response(id=response_id(prompt, row.text), text=row.text),
        second=Response(id=row.source_name, text=row.source_text, finished=row.source_finished),
        probability=1.0,
        source=f"studio:{project}/{row.name}, edited",  # no account's name has a comma
        annotator=row.name,
    )


def demonstrations(rows: Sequence[DbRow]) -> list[dict[str, Any]]:
    """Better versions as rows of demonstrations."""
    made = []
    for row in rows:
        prompt = json.loads(row.prompt)
        answer = row.text if "text" in prompt else [{"role": ASSISTANT, "content": row.text}]
        tools = {"tools": prompt["tools"]} if prompt.get("tools") else {}
        made.append({"prompt": prompt.get("text") or prompt["messages"], "completion": answer, **tools})
    return made
