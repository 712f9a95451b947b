"""What people said of each item, counted again in the transaction of every event, so that a desk finds and sorts at once."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, case, func, insert, literal, select, update

from trueward.studio.store import rankings
from trueward.studio.store import tables as t

COUNTS = ("votes", "for_first", "for_second", "ties", "failed", "skipped", "excluded")


def begin(connection: Connection, project_id: int) -> None:
    """A tally of nothing for each item of a project that has none yet."""
    has_one = select(t.tally.c.item_id).where(t.tally.c.item_id == t.item.c.id).exists()
    zeros = [literal(0).label(name) for name in (*COUNTS, "comments")]
    new = select(t.item.c.id, t.item.c.project_id, t.item.c.needed, *zeros).where(
        t.item.c.project_id == project_id, ~has_one
    )
    names = ["item_id", "project_id", "needed", *COUNTS, "comments"]
    connection.execute(insert(t.tally).from_select(names, new))


def refresh(connection: Connection, item_id: int) -> None:
    """Count an item's answers again, after one of them changed. The caller holds the item's lock."""
    counts = (
        case((t.assignment.c.state == "answered", 1), else_=0),
        _vote(t.event.c.chosen_id == t.item.c.first_id),
        _vote(t.event.c.chosen_id == t.item.c.second_id),
        _vote(t.event.c.kind == "tie"),
        _vote(t.item.c.check_id.is_not(None), func.coalesce(t.event.c.chosen_id, 0) != t.item.c.check_id),
        case((t.assignment.c.state == "skipped", 1), else_=0),
        case((t.assignment.c.state == "excluded", 1), else_=0),
    )
    sums = [func.coalesce(func.sum(each), 0).label(name) for name, each in zip(COUNTS, counts, strict=True)]
    quickest = func.min(case((t.assignment.c.state == "answered", t.event.c.seconds))).label("quickest")
    row = connection.execute(
        select(*sums, quickest, func.max(t.event.c.at).label("last_at"))
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .join(t.event, t.event.c.id == t.assignment.c.answer_id)
        .where(t.assignment.c.item_id == item_id)
    ).one()
    counted = (t.assignment.c.item_id == item_id) & (t.assignment.c.state == "answered") & t.event.c.ranks.is_not(None)
    ranked = select(t.event.c.ranks).join(t.assignment, t.assignment.c.answer_id == t.event.c.id).where(counted)
    values = {**row._mapping, "alike": rankings.alike(connection.scalars(ranked).all())}
    connection.execute(update(t.tally).where(t.tally.c.item_id == item_id).values(values))


def _vote(*conditions: ColumnElement[bool]) -> ColumnElement[int]:
    counts: ColumnElement[bool] = t.assignment.c.state == "answered"
    for condition in conditions:
        counts = counts & condition
    return case((counts, 1), else_=0)
