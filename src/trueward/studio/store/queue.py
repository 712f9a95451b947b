"""Who gets which item: leases, overlap, sides. Nobody gets an item twice, and no item goes to more people than asked."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from typing import Any

from sqlalchemy import Connection, exists, func, insert, literal_column, select, update

from trueward.studio.store import projects
from trueward.studio.store import tables as t
from trueward.studio.store.tables import Found

MOST = 20  # items that one person may hold at a time
# as constants in the statement, not as parameters: only so do the partial indexes apply
FREE = t.item.c.spare > literal_column("0")
LEASED = t.assignment.c.state == literal_column("'leased'")


def take(connection: Connection, project: Found, account_id: int, count: int) -> list[dict[str, Any]]:
    """The items that this person holds, and fresh ones up to `count`: what a page shows, and nothing else.

    Within a writing transaction. A page that is reloaded gets what it held, and its leases start anew.
    """
    now = time.time()
    release_expired(connection, now)
    round_id = projects.open_round(connection, project.id).id
    until = now + project.lease_seconds
    mine = (
        select(t.assignment.c.id)
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .where(t.assignment.c.account_id == account_id, t.assignment.c.state == "leased", t.item.c.round_id == round_id)
        .order_by(t.item.c.id)
    )
    renewed = (
        update(t.assignment)
        .where(t.assignment.c.id.in_(list(connection.scalars(mine))), t.assignment.c.state == "leased")
        .values(leased_until=until)
        .returning(t.assignment.c.item_id, t.assignment.c.id)
    )
    held = [row.id for row in sorted(connection.execute(renewed).all())]
    count = min(count, MOST)
    if len(held) < count:
        held += _lease(connection, project, round_id, account_id, count - len(held), until)
    return show(connection, held)


def _lease(
    connection: Connection, project: Found, round_id: int, account_id: int, count: int, until: float
) -> list[str]:
    """Lease up to `count` items that this person has not had; ids of the assignments."""
    # what was given back because the time ran out may be had again, and then keeps its side
    had = exists().where(
        t.assignment.c.item_id == t.item.c.id,
        t.assignment.c.account_id == account_id,
        t.assignment.c.state != "released",
    )
    free = (
        select(t.item.c.id, t.item.c.first_id, t.item.c.second_id, t.item.c.needed)
        .where(t.item.c.round_id == round_id, FREE, ~had)
        .order_by(t.item.c.id)
        .limit(count)
        .with_for_update(skip_locked=True)
    )
    leased = []
    for item in connection.execute(free).all():
        connection.execute(update(t.item).where(t.item.c.id == item.id).values(spare=t.item.c.spare - 1))
        again = connection.execute(
            update(t.assignment)
            .where(t.assignment.c.item_id == item.id, t.assignment.c.account_id == account_id)
            .values(state="leased", leased_until=until)
            .returning(t.assignment.c.id)
        ).scalar()
        if again is None:
            again = secrets.token_hex(16)
            values = {
                "id": again,
                "item_id": item.id,
                "account_id": account_id,
                "left_id": other_way(connection, item) or left(project.secret, item, account_id),
                "state": "leased",
                "leased_until": until,
            }
            connection.execute(insert(t.assignment).values(values))
        leased.append(again)
    return leased


def left(secret: str, item: Found, account_id: int) -> int | None:
    """Which response stands on the left: even odds, unknown to the page, the same whenever it is asked."""
    if item.first_id is None:
        return None
    drawn = hashlib.sha256(f"{secret}\0{item.id}\0{account_id}".encode()).digest()
    return int(item.first_id if drawn[0] < 128 else item.second_id)


def other_way(connection: Connection, item: Found) -> int | None:
    """The response that has stood on the left less often, so that every second person sees a pair the other way round."""
    if item.needed < 2 or item.first_id is None:
        return None
    shown = list(connection.scalars(select(t.assignment.c.left_id).where(t.assignment.c.item_id == item.id)))
    first, second = shown.count(item.first_id), shown.count(item.second_id)
    if first == second:
        return None
    return int(item.second_id if first > second else item.first_id)


def release_expired(connection: Connection, now: float) -> int:
    """Give back what nobody answered in time; how many."""
    # whoever changes an assignment's state holds its item first: one order of locks, so no deadlock
    late = (
        select(t.assignment.c.id, t.assignment.c.item_id)
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .where(LEASED, t.assignment.c.leased_until < now)
        .order_by(t.assignment.c.item_id)
        .with_for_update(of=(t.item, t.assignment), skip_locked=True)
    )
    found = connection.execute(late).all()
    for row in found:
        connection.execute(update(t.assignment).where(t.assignment.c.id == row.id).values(state="released"))
        connection.execute(update(t.item).where(t.item.c.id == row.item_id).values(spare=t.item.c.spare + 1))
    return len(found)


def show(connection: Connection, ids: list[str]) -> list[dict[str, Any]]:
    """What a page may know of some assignments: prompt and texts by side. No ids, no writers, no known winner."""
    first, second = t.response.alias("first"), t.response.alias("second")
    rows = connection.execute(
        select(
            t.assignment.c.id,
            t.assignment.c.left_id,
            t.item.c.prompt,
            t.item.c.first_id,
            first.c.text.label("one"),
            first.c.finished.label("one_finished"),
            second.c.text.label("two"),
            second.c.finished.label("two_finished"),
        )
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .outerjoin(first, first.c.id == t.item.c.first_id)
        .outerjoin(second, second.c.id == t.item.c.second_id)
        .where(t.assignment.c.id.in_(ids))
    ).all()
    found = {}
    for row in rows:
        shown: dict[str, Any] = {"assignment": row.id, "prompt": json.loads(row.prompt)}
        if row.first_id is not None:
            sides = [{"text": row.one, "finished": row.one_finished}, {"text": row.two, "finished": row.two_finished}]
            if row.left_id != row.first_id:
                sides.reverse()
            shown["left"], shown["right"] = sides
        found[row.id] = shown
    return [found[i] for i in ids]


def progress(connection: Connection, project: Found, account_id: int) -> dict[str, int]:
    """For the person at work: how many they have done, and how many of the round they could still take."""
    round_id = projects.open_round(connection, project.id).id
    done = connection.execute(
        select(func.count())
        .select_from(t.assignment.join(t.item, t.item.c.id == t.assignment.c.item_id))
        .where(
            t.assignment.c.account_id == account_id,
            t.item.c.round_id == round_id,
            t.assignment.c.state.in_(("answered", "skipped", "surplus", "excluded")),
        )
    ).scalar_one()
    # what is free, less what this person had or holds of it, and what they hold; never a walk through all items by hand
    free = connection.execute(
        select(func.count()).select_from(t.item).where(t.item.c.round_id == round_id, FREE)
    ).scalar_one()
    mine = (
        select(func.count())
        .select_from(t.assignment.join(t.item, t.item.c.id == t.assignment.c.item_id))
        .where(t.assignment.c.account_id == account_id, t.item.c.round_id == round_id)
    )
    taken = connection.execute(mine.where(t.assignment.c.state != "released", FREE)).scalar_one()
    held = connection.execute(mine.where(t.assignment.c.state == "leased")).scalar_one()
    return {"done": int(done), "left": int(free - taken + held)}
