"""The items of a project for who reviews them: searched, filtered, sorted, with their votes side by side."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Select, cast, func, or_, select
from sqlalchemy import Float as Real

from trueward.studio.store import criteria, rankings
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

Status = Literal[
    "", "unanswered", "waiting", "complete", "split", "failed", "skipped", "excluded", "adjudicated", "commented"
]
Sort = Literal["newest", "oldest", "disagreement", "quickest", "skipped", "item"]
PAGE = 20
DONE = ("answered", "skipped", "surplus", "excluded")
REVIEWS = ("adjudicate", "withdraw", "comment", "edit")


@dataclass(frozen=True)
class Filter:
    """Which items, and in what order. find: in prompt or answers. annotator: items that they have answered or skipped.

    round: its number; 0: of all. since, until: when the last answer came, in seconds since 1970. under: an answer took
    fewer seconds. item: this one alone.
    """

    find: str = ""
    status: Status = ""
    annotator: str = ""
    round: int = 0
    since: float | None = None
    until: float | None = None
    under: float | None = None
    item: int | None = None
    sort: Sort = "newest"


def page(connection: Connection, project: DbRow, wanted: Filter, number: int = 1) -> dict[str, Any]:
    """A page of items (from 1), and how many there are in all."""
    # all ids, which are few bytes each: a search through the texts then happens once, not twice
    ids = connection.scalars(_matching(project, wanted).order_by(*_order(wanted.sort))).all()
    some = ids[PAGE * (number - 1) : PAGE * number]
    return {"total": len(ids), "page": number, "pages": -(-len(ids) // PAGE), "items": items(connection, some)}


def annotators(connection: Connection, project_id: int) -> list[str]:
    """Who has answered or skipped something in a project."""
    worked = (
        select(t.assignment.c.id)
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .where(
            t.assignment.c.account_id == t.account.c.id,
            t.assignment.c.state.in_(DONE),
            t.item.c.project_id == project_id,
        )
    )
    return list(connection.scalars(select(t.account.c.name).where(worked.exists()).order_by(t.account.c.name)))


def _matching(project: DbRow, wanted: Filter) -> Select[Any]:
    query = select(t.tally.c.item_id).where(t.tally.c.project_id == project.id)
    if wanted.find.strip() or wanted.round:
        query = query.join(t.item, t.item.c.id == t.tally.c.item_id)
    if find := wanted.find.strip():
        first, second = t.response.alias("first"), t.response.alias("second")
        query = query.outerjoin(first, first.c.id == t.item.c.first_id)
        query = query.outerjoin(second, second.c.id == t.item.c.second_id)
        # the prompt is kept as JSON, in which some characters are written with a backslash
        in_prompt = json.dumps(find, ensure_ascii=False)[1:-1]
        query = query.where(
            or_(
                t.item.c.prompt.icontains(in_prompt, autoescape=True),
                first.c.text.icontains(find, autoescape=True),
                second.c.text.icontains(find, autoescape=True),
                _written(find),
                *([_ranked(find)] if project.kind == "rank" else []),
            )
        )
    if wanted.round:
        query = query.join(t.round_, t.round_.c.id == t.item.c.round_id).where(t.round_.c.number == wanted.round)
    if wanted.status:
        query = query.where(_status(wanted.status))
    if wanted.annotator:
        mine = (
            select(t.assignment.c.id)
            .join(t.account, t.account.c.id == t.assignment.c.account_id)
            .where(
                t.assignment.c.item_id == t.tally.c.item_id,
                t.account.c.name == wanted.annotator,
                t.assignment.c.state.in_(DONE),
            )
        )
        query = query.where(mine.exists())
    if wanted.since is not None:
        query = query.where(t.tally.c.last_at >= wanted.since)
    if wanted.until is not None:
        query = query.where(t.tally.c.last_at < wanted.until)
    if wanted.under is not None:
        query = query.where(t.tally.c.quickest < wanted.under)
    if wanted.item is not None:
        query = query.where(t.tally.c.item_id == wanted.item)
    return query


def _written(find: str) -> ColumnElement[bool]:
    """Whether what somebody wrote about the item holds it: a demonstration, a note, a comment, a reason."""
    texts = or_(t.event.c.text.icontains(find, autoescape=True), t.event.c.reason.icontains(find, autoescape=True))
    return select(t.event.c.id).where(t.event.c.item_id == t.tally.c.item_id, texts).exists()


def _ranked(find: str) -> ColumnElement[bool]:
    """Whether one of the answers that are ranked holds it."""
    query = select(t.candidate.c.item_id).join(t.response, t.response.c.id == t.candidate.c.response_id)
    mine = (t.candidate.c.item_id == t.tally.c.item_id) & t.response.c.text.icontains(find, autoescape=True)
    return query.where(mine).exists()


def _status(status: Status) -> ColumnElement[bool]:
    c = t.tally.c
    several = (func.abs(c.for_first) < c.votes) & (c.for_second < c.votes) & (c.ties < c.votes)
    # rankings are counted in `alike` alone
    split = or_(c.alike < 1, several & (c.for_first + c.for_second + c.ties > 0))
    conditions: dict[str, ColumnElement[bool]] = {
        "unanswered": c.votes == 0,
        "waiting": (c.votes < c.needed) & c.decision_id.is_(None),
        "complete": c.votes >= c.needed,
        "split": split,
        "failed": c.failed > 0,
        "skipped": c.skipped > 0,
        "excluded": c.excluded > 0,
        "adjudicated": c.decision_id.is_not(None),
        "commented": c.comments > 0,
    }
    return conditions[status]


def _order(sort: Sort) -> tuple[ColumnElement[Any], ...]:
    c = t.tally.c
    equal = c.for_first * (c.for_first - 1) + c.for_second * (c.for_second - 1) + c.ties * (c.ties - 1)
    alike = func.coalesce(c.alike, cast(equal, Real) / func.nullif(c.votes * (c.votes - 1), 0))
    orders: dict[str, tuple[ColumnElement[Any], ...]] = {
        "newest": (c.last_at.desc().nulls_last(), c.item_id.desc()),
        "oldest": (c.last_at.asc().nulls_last(), c.item_id),
        "disagreement": (alike.asc().nulls_last(), c.votes.desc(), c.item_id),
        "quickest": (c.quickest.asc().nulls_last(), c.item_id),
        "skipped": (c.skipped.desc(), c.item_id),
        "item": (c.item_id,),
    }
    return orders[sort]


def items(connection: Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Items in this order: texts, votes, models' labels, the decision, comments. A and B are drawn once for each item.

    `a`: which response is A, `first` or `second`; a vote's `choice` is one of these, too. Of an item that is ranked: `answers`,
    in an order that is drawn likewise, and `ranks` by it.
    """
    first, second = t.response.alias("first"), t.response.alias("second")
    rows = connection.execute(
        select(
            t.item.c.id, t.item.c.key, t.item.c.prompt, t.item.c.first_id, t.item.c.check_id, t.item.c.turned, t.tally,
            first.c.text.label("one"), first.c.finished.label("one_finished"), second.c.text.label("two"),
            second.c.finished.label("two_finished"),
            t.round_.c.number.label("round"), t.round_.c.closed,
        )
        .join(t.tally, t.tally.c.item_id == t.item.c.id)
        .join(t.round_, t.round_.c.id == t.item.c.round_id)
        .outerjoin(first, first.c.id == t.item.c.first_id)
        .outerjoin(second, second.c.id == t.item.c.second_id)
        .where(t.item.c.id.in_(ids))
    ).all()  # fmt: skip
    firsts = {row.id: row.first_id for row in rows}
    answers = rankings.of_items(connection, [row.id for row in rows if row.first_id is None])
    orders = {row.id: rankings.desk_order(row.key, len(answers[row.id])) for row in rows if row.id in answers}
    votes, reviews = _votes(connection, ids, firsts, orders), _reviews(connection, ids, firsts, orders)
    labels: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for each in connection.execute(select(t.label).where(t.label.c.item_id.in_(ids)).order_by(t.label.c.judge)).all():
        labels[each.item_id].append({"judge": each.judge, "first": each.probability})
    made = {}
    for row in rows:
        entry: dict[str, Any] = {
            "item": row.id,
            "round": row.round,
            "open": row.closed is None,
            "needed": row.needed,
            "prompt": json.loads(row.prompt),
            "votes": votes[row.id],
            "labels": labels[row.id],
            "edits": [each for each in reviews[row.id] if each["kind"] == "edit"],
            "comments": [each for each in reviews[row.id] if each["kind"] == "comment"],
            "decision": next((each for each in reviews[row.id] if each["event"] == row.decision_id), None),
        }
        if there := answers.get(row.id):
            order = orders[row.id]
            entry["answers"] = [{"text": there[place].text, "finished": there[place].finished} for place in order]
        if row.first_id is not None:
            entry["a"] = "second" if row.turned else "first"
            entry["first"] = {"text": row.one, "finished": row.one_finished}
            entry["second"] = {"text": row.two, "finished": row.two_finished}
            entry["check"] = None if row.check_id is None else "first" if row.check_id == row.first_id else "second"
        made[row.id] = entry
    return [made[number] for number in ids]


def _choice(row: DbRow, firsts: dict[int, int | None]) -> str | None:
    """What an event chose: first, second, tie; None for one that chooses nothing."""
    if row.kind not in ("win", "tie", "adjudicate", "edit") or row.ranks is not None:
        return None
    if row.chosen_id is None:
        return "tie"
    return "first" if row.chosen_id == firsts[row.item_id] else "second"


def _votes(
    connection: Connection, ids: Sequence[int], firsts: dict[int, int | None], orders: dict[int, list[int]]
) -> dict[int, list[dict[str, Any]]]:
    query = (
        select(
            t.assignment.c.id, t.assignment.c.state, t.account.c.name, t.event.c.item_id, t.event.c.at, t.event.c.kind,
            t.event.c.chosen_id, t.event.c.strength, t.event.c.both, t.event.c.text, t.event.c.reason, t.event.c.seconds,
            t.event.c.read, t.event.c.criteria, t.event.c.ranks,
        )
        .join(t.event, t.event.c.id == t.assignment.c.answer_id)
        .join(t.account, t.account.c.id == t.assignment.c.account_id)
        .where(t.assignment.c.item_id.in_(ids))
        .order_by(t.event.c.id)
    )  # fmt: skip
    why = select(t.event.c.assignment_id, t.event.c.reason).where(
        t.event.c.item_id.in_(ids), t.event.c.kind == "exclude"
    )
    reasons = {row.assignment_id: row.reason for row in connection.execute(why.order_by(t.event.c.id)).all()}
    by_item: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(query).all():
        names = ("state", "at", "kind", "strength", "both", "text", "reason", "seconds", "read")
        vote = {name: getattr(row, name) for name in names}
        vote |= {"assignment": row.id, "account": row.name, "choice": _choice(row, firsts)}
        vote["criteria"] = criteria.said(row.criteria)
        vote["ranks"] = rankings.in_order(row.ranks, orders.get(row.item_id, ()))
        if row.state == "excluded":
            vote["why"] = reasons.get(row.id, "")
        by_item[row.item_id].append(vote)
    return by_item


def _reviews(
    connection: Connection, ids: Sequence[int], firsts: dict[int, int | None], orders: dict[int, list[int]]
) -> dict[int, list[dict[str, Any]]]:
    query = (
        select(t.event, t.account.c.name)
        .join(t.account, t.account.c.id == t.event.c.account_id)
        .where(t.event.c.item_id.in_(ids), t.event.c.kind.in_(REVIEWS))
        .order_by(t.event.c.id)
    )
    by_item: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in connection.execute(query).all():
        entry = {"event": row.id, "kind": row.kind, "by": row.name, "at": row.at, "text": row.text or row.reason or ""}
        entry["ranks"] = rankings.in_order(row.ranks, orders.get(row.item_id, ()))
        by_item[row.item_id].append(entry | {"choice": _choice(row, firsts), "strength": row.strength})
    return by_item
