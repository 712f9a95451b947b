"""The people of a project: how much each has done and how quickly, how they do on check pairs, when they were last here."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, select

from trueward.evaluation.statistics import wilson
from trueward.studio.store import settings
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

HOUR = 3600.0


def figures(cast_votes: list[DbRow], states: list[DbRow], compares: bool, round_id: int) -> list[dict[str, Any]]:
    """A row for everybody who has had an item, by name. round_id: of the open round, whose answers are counted as `round`."""
    by_name: dict[str, list[DbRow]] = defaultdict(list)
    for vote in cast_votes:
        by_name[vote.name].append(vote)
    counted = {(row.name, row.state): row.n for row in states}
    rows = []
    for name in sorted({row.name for row in states}):
        own = by_name[name]
        row = _work(name, own, round_id)
        row |= {state: counted.get((name, state), 0) for state in ("skipped", "excluded")}
        if compares:
            row |= _care(own)
        rows.append(row)
    return rows


def _work(name: str, own: list[DbRow], round_id: int) -> dict[str, Any]:
    """How much and how quickly: the median of the seconds of an answer, and answers in an hour of their mean."""
    times = sorted(vote.seconds for vote in own if vote.seconds is not None)
    return {
        "name": name,
        "answers": len(own),
        "round": sum(vote.round_id == round_id for vote in own),
        "seconds": times[len(times) // 2] if times else None,
        "per_hour": HOUR * len(times) / sum(times) if sum(times) > 0 else None,
        "last": max((vote.at for vote in own), default=None),
    }


def _care(own: list[DbRow]) -> dict[str, Any]:
    """Accuracy on check pairs with Wilson's 95 % interval, and the share of answers that were read whole."""
    checks = [vote for vote in own if vote.check_id is not None]
    right = sum(vote.chosen_id == vote.check_id for vote in checks)
    low, high = wilson(right, len(checks))
    told = [vote.read for vote in own if vote.read is not None]
    accuracy = right / len(checks) if checks else None
    row = {"checks": len(checks), "accuracy": accuracy, "accuracy_low": low, "accuracy_high": high}
    return row | {"read": sum(told) / len(told) if told else None}


def now(connection: Connection, project: DbRow, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with when each was last seen, and a row for those who are assigned and have done nothing yet."""
    known = {row["name"] for row in rows}
    more = [row.name for row in settings.assigned(connection, project.id) if row.name not in known]
    every = rows + [_nothing(name, project) for name in more]
    query = select(t.account.c.name, t.account.c.seen).where(t.account.c.name.in_([row["name"] for row in every]))
    seen = {row.name: row.seen for row in connection.execute(query).all()}
    return sorted(({**row, "seen": seen.get(row["name"])} for row in every), key=lambda row: str(row["name"]))


def _nothing(name: str, project: DbRow) -> dict[str, Any]:
    row = _work(name, [], 0) | {"skipped": 0, "excluded": 0}
    return row | (_care([]) if project.kind != "write" else {})
