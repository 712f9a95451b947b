"""The figures on a project's page: progress, agreement, annotators."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, func, select

from trueward.studio import agreement
from trueward.studio.store import annotators, criteria, labels, projects, rankings, settings
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

COUNTED = ("answered",)
MIDDLE = agreement.MIDDLE


def stamp(connection: Connection) -> tuple[int, ...]:
    """A value that changes with every answer, import, closing and new overlap; while it is the same, so are all figures."""
    queries = [select(func.coalesce(func.max(table.c.id), 0)) for table in (t.event, t.item, t.round_, t.label)]
    queries.append(select(func.coalesce(func.sum(t.project.c.overlap), 0)))
    return tuple(int(connection.execute(each).scalar_one()) for each in queries)


def tallied(connection: Connection, project_id: int) -> list[DbRow]:
    """All answers that count, without their texts."""
    query = (
        select(
            t.item.c.id.label("item_id"), t.item.c.first_id, t.item.c.second_id, t.item.c.check_id, t.account.c.name,
            t.event.c.kind,
            t.event.c.chosen_id, t.event.c.both, t.event.c.seconds, t.event.c.read, t.event.c.criteria, t.item.c.turned,
            t.event.c.at, t.event.c.ranks, t.item.c.round_id,
        )
        .join(t.assignment, t.assignment.c.item_id == t.item.c.id)
        .join(t.event, t.event.c.id == t.assignment.c.answer_id)
        .join(t.account, t.account.c.id == t.assignment.c.account_id)
        .where(t.item.c.project_id == project_id, t.assignment.c.state.in_(COUNTED))
    )  # fmt: skip
    return list(connection.execute(query).all())


def votes(connection: Connection, project_id: int, round_id: int | None = None) -> list[DbRow]:
    """All answers that count: item, account, event and vote, oldest first; a ranking as all its pairs."""
    query = (
        select(
            t.item.c.id.label("item_id"), t.item.c.prompt, t.item.c.first_id, t.item.c.second_id, t.item.c.check_id,
            t.item.c.round_id, t.item.c.strategy, t.item.c.propensity, t.event.c.id.label("event_id"),
            t.assignment.c.id.label("assignment_id"), t.account.c.name, t.event.c.at, t.event.c.kind,
            t.event.c.chosen_id, t.event.c.strength, t.event.c.both, t.event.c.text, t.event.c.seconds, t.event.c.criteria,
            t.event.c.ranks, t.item.c.turned,
        )
        .join(t.assignment, t.assignment.c.item_id == t.item.c.id)
        .join(t.event, t.event.c.id == t.assignment.c.answer_id)
        .join(t.account, t.account.c.id == t.assignment.c.account_id)
        .where(t.item.c.project_id == project_id, t.assignment.c.state.in_(COUNTED))
        .order_by(t.event.c.id)
    )  # fmt: skip
    if round_id is not None:
        query = query.where(t.item.c.round_id == round_id)
    return rankings.as_pairs(connection, connection.execute(query).all())


def probability(vote: DbRow) -> float:
    """The vote as the probability that the item's first response is the better one."""
    return MIDDLE if vote.kind == "tie" else float(vote.chosen_id == vote.first_id)


def by_pair(cast_votes: list[DbRow]) -> dict[tuple[int, int, int], list[float]]:
    """Votes by item and pair of answers, of which a ranked item has several, for the response that is called A."""
    units: dict[tuple[int, int, int], list[float]] = defaultdict(list)
    for vote in cast_votes:
        p = probability(vote)
        units[vote.item_id, vote.first_id, vote.second_id].append(1 - p if vote.turned else p)
    return units


def about(connection: Connection, project: DbRow) -> dict[str, Any]:
    """What a project is set to."""
    return {
        "name": project.name,
        "kind": project.kind,
        "instructions": project.instructions,
        "overlap": project.overlap,
        "check_rate": project.check_rate,
        "skip_reasons": json.loads(project.skip_reasons) if project.skip_reasons else None,
        "criteria": [asdict(each) for each in criteria.of(project)],
        "archived": project.archived,
        "assigned": [row.name for row in settings.assigned(connection, project.id)],
    }


def overview(connection: Connection, project: DbRow) -> dict[str, Any]:
    """The figures on an admin's page of a project: all that changes with what people say alone."""
    cast_votes = tallied(connection, project.id)
    rounds = [_round(connection, row) for row in projects.rounds(connection, project.id)]
    states = _states(connection, project.id)
    compares = project.kind != "write"
    judged = [vote for vote in cast_votes if vote.check_id is None] if compares else []
    pairs = rankings.as_pairs(connection, judged)
    excluded = sum(row.n for row in states if row.state == "excluded")
    return {
        "answers": len(cast_votes),
        "ties": sum(vote.kind == "tie" for vote in pairs),
        "both": dict(Counter(vote.both for vote in judged if vote.both)),
        "skipped": sum(row.n for row in states if row.state == "skipped"),
        "surplus": sum(row.n for row in states if row.state == "surplus"),
        "excluded": excluded,
        "exclusion_rate": excluded / (excluded + len(cast_votes)) if excluded else 0.0,
        "adjudicated": _decisions(connection, project.id),
        "reasons": _reasons(connection, project.id),
        "agreement": agreement.summary(by_pair(pairs)) if compares else None,
        "by_criterion": criteria.figures(project, judged),
        "annotators": annotators.figures(cast_votes, states, compares, projects.open_round(connection, project.id).id),
        "judges": labels.judges(connection, project.id, cast_votes) if project.kind == "compare" else [],
        "rounds": rounds,
    }


def short(connection: Connection, project: DbRow) -> dict[str, Any]:
    """A project as a row of a list."""
    now = _round(connection, projects.open_round(connection, project.id))
    about = {"name": project.name, "kind": project.kind, "instructions": project.instructions}
    return {**about, "archived": project.archived, "round": now}


def _round(connection: Connection, row: DbRow) -> dict[str, Any]:
    items, needed, checks = connection.execute(
        select(func.count(), func.coalesce(func.sum(t.item.c.needed), 0), func.count(t.item.c.check_id)).where(
            t.item.c.round_id == row.id
        )
    ).one()
    answered = connection.execute(
        select(func.count())
        .select_from(t.assignment.join(t.item, t.item.c.id == t.assignment.c.item_id))
        .where(t.item.c.round_id == row.id, t.assignment.c.state == "answered")
    ).scalar_one()
    return {
        "number": row.number,
        "opened": row.opened,
        "closed": row.closed,
        "digest": row.digest,
        "items": int(items),
        "checks": int(checks),
        "needed": int(needed),
        "answered": int(answered),
    }


def _states(connection: Connection, project_id: int) -> list[DbRow]:
    query = (
        select(t.account.c.name, t.assignment.c.state, func.count().label("n"))
        .join(t.assignment, t.assignment.c.account_id == t.account.c.id)
        .join(t.item, t.item.c.id == t.assignment.c.item_id)
        .where(t.item.c.project_id == project_id)
        .group_by(t.account.c.name, t.assignment.c.state)
    )
    return list(connection.execute(query).all())


def _decisions(connection: Connection, project_id: int) -> int:
    query = select(func.count()).where(t.tally.c.project_id == project_id, t.tally.c.decision_id.is_not(None))
    return int(connection.execute(query).scalar_one())


def _reasons(connection: Connection, project_id: int) -> list[dict[str, Any]]:
    query = (
        select(t.event.c.kind, t.event.c.reason, func.count())
        .join(t.item, t.item.c.id == t.event.c.item_id)
        .where(t.item.c.project_id == project_id, t.event.c.kind.in_(("skip", "exclude")))
        .group_by(t.event.c.kind, t.event.c.reason)
        .order_by(func.count().desc(), t.event.c.reason)
    )
    return [{"kind": kind, "reason": reason, "count": n} for kind, reason, n in connection.execute(query).all()]
