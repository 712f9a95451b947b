"""Which account gets which item: leases, overlap, sides. No account gets an item twice, no item goes to too many."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, ScalarSelect, func, insert, literal_column, select, update

from trueward.studio.store import order, projects, rankings
from trueward.studio.store import tables as t
from trueward.studio.store.order import FREE
from trueward.studio.store.tables import DbRow

MOST = 20  # items that one person may hold at a time
DONE = ("answered", "skipped", "surplus", "excluded")
MANY, FREE_SECONDS = 2000, 1.0  # a count above MANY may be FREE_SECONDS old
# as a constant in the statement, not as a parameter, so that the partial index applies
LEASED = t.assignment.c.state == literal_column("'leased'")


def take(connection: Connection, project: DbRow, account_id: int, count: int) -> list[dict[str, Any]]:
    """The items that this account holds, and new ones up to `count`, as `show` gives them.

    Within a writing transaction. A reloaded page gets the items that it had, with their leases renewed.
    """
    now = time.time()
    release_expired(connection, now)
    round_id = _round(connection, project)
    until = now + project.lease_seconds
    in_round = select(t.item.c.id).where(t.item.c.id == t.assignment.c.item_id, t.item.c.round_id == round_id)
    renewed = (
        update(t.assignment)
        .where(t.assignment.c.account_id == account_id, LEASED, in_round.exists())
        .values(leased_until=until)
        .returning(t.assignment.c.position, t.assignment.c.item_id, t.assignment.c.id)
    )
    rows = connection.execute(renewed).all()
    held = [row.id for row in sorted(rows, key=lambda row: (row.position or 0, row.item_id))]
    count = min(count, MOST)
    if len(held) < count:
        held += _lease(connection, project, round_id, account_id, count - len(held), until)
    return show(connection, held)


def _round(connection: Connection, project: DbRow) -> int:
    known = getattr(project, "round_id", None)  # projects.working has it
    return int(known if known is not None else projects.open_round(connection, project.id).id)


def _lease(
    connection: Connection, project: DbRow, round_id: int, account_id: int, count: int, until: float
) -> list[str]:
    """Lease up to `count` items that this account has not had; ids of the assignments."""
    position = order.last_position(connection, project.id, account_id)
    ids = order.candidates(connection, project, round_id, account_id, position)
    leased: list[str] = []
    while len(leased) < count and (wanted := list(islice(ids, count - len(leased)))):
        items = _locked(connection, wanted, account_id)
        numbers = range(position + len(leased) + 1, position + len(leased) + len(items) + 1)
        leased += _assign(connection, project, account_id, list(zip(items, numbers, strict=True)), until)
    return leased


def _locked(connection: Connection, ids: list[int], account_id: int) -> list[DbRow]:
    """The items that are still free, in this order, and no longer for anybody else."""
    # an item whose lease expired may be leased again, and then has the same side
    mine = (t.assignment.c.item_id == t.item.c.id) & (t.assignment.c.account_id == account_id)
    first_left = _on_the_left(t.item.c.first_id).label("first_left")
    second_left = _on_the_left(t.item.c.second_id).label("second_left")
    columns = (t.item.c.id, t.item.c.first_id, t.item.c.second_id, t.item.c.needed)
    free = (
        select(*columns, first_left, second_left, t.assignment.c.id.label("again"))
        .outerjoin(t.assignment, mine)
        .where(t.item.c.id.in_(ids), FREE)
        .with_for_update(skip_locked=True, of=t.item)
    )
    found = {item.id: item for item in connection.execute(free).all()}
    if found:
        connection.execute(update(t.item).where(t.item.c.id.in_(list(found))).values(spare=t.item.c.spare - 1))
    return [found[number] for number in ids if number in found]


def _assign(
    connection: Connection, project: DbRow, account_id: int, items: list[tuple[DbRow, int]], until: float
) -> list[str]:
    """Lease locked items, each with its position; ids of the assignments."""
    leased, fresh = [], []
    for item, position in items:
        if item.again is not None:
            again = update(t.assignment).where(t.assignment.c.id == item.again)
            connection.execute(again.values(state="leased", leased_until=until, position=position))
            leased.append(item.again)
            continue
        leased.append(secrets.token_hex(16))
        fresh.append(
            {
                "id": leased[-1],
                "item_id": item.id,
                "account_id": account_id,
                "left_id": other_way(item) or left(project.secret, item, account_id),
                "state": "leased",
                "leased_until": until,
                "position": position,
            }
        )
    if fresh:
        connection.execute(insert(t.assignment), fresh)
    return leased


def left(secret: str, item: DbRow, account_id: int) -> int | None:
    """The id of the response on the left: a fair coin, fixed for an account and item, that the page can't predict."""
    if item.first_id is None:
        return None
    drawn = hashlib.sha256(f"{secret}\0{item.id}\0{account_id}".encode()).digest()
    return int(item.first_id if drawn[0] < 128 else item.second_id)


def _on_the_left(response: Column[int]) -> ScalarSelect[int]:
    """How many accounts have had this response of an item on the left."""
    others = t.assignment.alias()
    count = select(func.count()).where(others.c.item_id == t.item.c.id, others.c.left_id == response)
    return count.correlate(t.item).scalar_subquery()


def other_way(item: DbRow) -> int | None:
    """The response that was on the left less often, so that every second account gets a pair in the other order."""
    if item.needed < 2 or item.first_id is None:
        return None
    first, second = item.first_left, item.second_left
    if first == second:
        return None
    return int(item.second_id if first > second else item.first_id)


def release_expired(connection: Connection, now: float) -> int:
    """Release expired leases; returns how many."""
    # a separate query, which reads a small index; a join would make SQLite scan all items
    late_ids = list(connection.scalars(select(t.assignment.c.id).where(LEASED, t.assignment.c.leased_until < now)))
    if not late_ids:
        return 0
    # the item is locked before its assignment's state changes: one order of locks, so no deadlock
    late = (
        select(t.assignment.c.id, t.assignment.c.item_id)
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .where(t.assignment.c.id.in_(late_ids), LEASED, t.assignment.c.leased_until < now)
        .order_by(t.assignment.c.item_id)
        .with_for_update(of=(t.item, t.assignment), skip_locked=True)
    )
    expired = connection.execute(late).all()
    for row in expired:
        connection.execute(update(t.assignment).where(t.assignment.c.id == row.id).values(state="released"))
        connection.execute(update(t.item).where(t.item.c.id == row.item_id).values(spare=t.item.c.spare + 1))
    return len(expired)


def show(connection: Connection, ids: list[str]) -> list[dict[str, Any]]:
    """Assignments as a page may see them: prompt and texts, by side or as `answers`. No ids, writers, winner or answer key."""
    first, second = t.response.alias("first"), t.response.alias("second")
    rows = connection.execute(
        select(
            t.assignment.c.id,
            t.assignment.c.left_id,
            t.assignment.c.account_id,
            t.item.c.id.label("item_id"),
            t.project.c.kind,
            t.project.c.secret,
            t.item.c.prompt,
            t.item.c.first_id,
            first.c.text.label("one"),
            first.c.finished.label("one_finished"),
            second.c.text.label("two"),
            second.c.finished.label("two_finished"),
        )
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .join(t.project, t.project.c.id == t.item.c.project_id)
        .outerjoin(first, first.c.id == t.item.c.first_id)
        .outerjoin(second, second.c.id == t.item.c.second_id)
        .where(t.assignment.c.id.in_(ids))
    ).all()
    answers = rankings.of_items(connection, [row.item_id for row in rows if row.kind == "rank"])
    by_id = {}
    for row in rows:
        prompt = {key: value for key, value in json.loads(row.prompt).items() if key != "answer"}
        item: dict[str, Any] = {"assignment": row.id, "prompt": prompt}
        if row.first_id is not None:
            sides = [{"text": row.one, "finished": row.one_finished}, {"text": row.two, "finished": row.two_finished}]
            if row.left_id != row.first_id:
                sides.reverse()
            item["left"], item["right"] = sides
        if there := answers.get(row.item_id):
            shown = rankings.shown_order(row.secret, row.item_id, row.account_id, len(there))
            item["answers"] = [{"text": there[i].text, "finished": there[i].finished} for i in shown]
        by_id[row.id] = item
    return [by_id[i] for i in ids]


class Free:
    """How many items of a round still need answers. A count of thousands may be a second old; a small one never is."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[float, int]] = {}

    def __call__(self, connection: Connection, round_id: int) -> int:
        """The number of free items of a round."""
        at, count = self.known.get(round_id, (0.0, 0))
        if count < MANY or time.monotonic() - at > FREE_SECONDS:
            query = select(func.count()).select_from(t.item).where(t.item.c.round_id == round_id, FREE)
            count = int(connection.execute(query).scalar_one())
            self.known[round_id] = (time.monotonic(), count)
        return count


def progress(connection: Connection, project: DbRow, account_id: int, free: Free | None = None) -> dict[str, int]:
    """An account's progress: how many items it has done, and how many of the round it could still take."""
    round_id = _round(connection, project)
    mine = (
        select(t.assignment.c.state, FREE.label("free"), func.count().label("n"))
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .where(t.assignment.c.account_id == account_id, t.item.c.round_id == round_id)
        .group_by(t.assignment.c.state, FREE)
    )
    rows = connection.execute(mine).all()
    done = sum(row.n for row in rows if row.state in DONE)
    # free items, less those that this account had or holds, plus those it holds; without a scan of all items
    taken = sum(row.n for row in rows if row.free and row.state != "released")
    held = sum(row.n for row in rows if row.state == "leased")
    # an old count may be too low, so the difference is limited to 0
    return {"done": done, "left": max(held, (free or Free())(connection, round_id) - taken + held)}
