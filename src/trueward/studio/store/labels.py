"""Models' labels of a project's pairs: stored beside people's votes and compared with them, but never counted as votes."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, insert, select

from trueward.evaluation.statistics import wilson
from trueward.studio import agreement
from trueward.studio.store import projects
from trueward.studio.store import tables as t
from trueward.studio.store.projects import Pair
from trueward.studio.store.tables import DbRow

CHUNK = 500


@dataclass(frozen=True)
class Label:
    """A judge's label of a pair. probability: that the pair's first response is the better one."""

    pair: Pair
    judge: str
    probability: float


def add(connection: Connection, project: DbRow, labels: Iterable[Label]) -> int:
    """Store labels of pairs that are in the project; returns how many were new. A judge's first label of an item counts."""
    by_key: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        by_key[projects.key_of(label.pair)].append(label)
    keys, now = list(by_key), time.time()
    fresh: dict[tuple[int, str], dict[str, Any]] = {}
    for start in range(0, len(keys), CHUNK):
        first = t.response.alias("first")
        items = connection.execute(
            select(t.item.c.id, t.item.c.key, first.c.text, first.c.finished)
            .join(first, first.c.id == t.item.c.first_id)
            .where(t.item.c.project_id == project.id, t.item.c.key.in_(keys[start : start + CHUNK]))
        ).all()
        had = {
            (row.item_id, row.judge)
            for row in connection.execute(
                select(t.label.c.item_id, t.label.c.judge).where(t.label.c.item_id.in_([item.id for item in items]))
            )
        }
        for item in items:
            for label in by_key[item.key]:
                side = label.pair.first
                p = (
                    label.probability
                    if (side.text, side.finished) == (item.text, item.finished)
                    else 1 - label.probability
                )
                if (item.id, label.judge) not in had:
                    row = {"item_id": item.id, "judge": label.judge, "probability": p, "at": now}
                    fresh.setdefault((item.id, label.judge), row)
    if fresh:
        connection.execute(insert(t.label), list(fresh.values()))
    return len(fresh)


def all_of(connection: Connection, project_id: int) -> Sequence[DbRow]:
    """Every label of a project with its item, by judge and item."""
    query = (
        select(t.label.c.judge, t.label.c.probability, t.item.c.id.label("item_id"), t.item.c.check_id,
               t.item.c.first_id, t.item.c.second_id, t.item.c.prompt)
        .join(t.item, t.item.c.id == t.label.c.item_id)
        .where(t.item.c.project_id == project_id)
        .order_by(t.label.c.judge, t.item.c.id)
    )  # fmt: skip
    return connection.execute(query).all()


def judges(connection: Connection, project_id: int, votes: Iterable[DbRow]) -> list[dict[str, Any]]:
    """A row for each judge: its labels, its agreement with people, and its accuracy on check pairs."""
    by_judge: dict[str, dict[int, DbRow]] = defaultdict(dict)
    for row in all_of(connection, project_id):
        by_judge[row.judge][row.item_id] = row
    if not by_judge:
        return []
    people: dict[int, list[float]] = defaultdict(list)
    for vote in votes:
        if vote.check_id is None:
            people[vote.item_id].append(0.5 if vote.kind == "tie" else float(vote.chosen_id == vote.first_id))
    rows = []
    for judge, labels in by_judge.items():
        checks = [row for row in labels.values() if row.check_id is not None]
        right = sum(agreement.lean(row.probability) == float(row.check_id == row.first_id) for row in checks)
        low, high = wilson(right, len(checks))
        rows.append(
            {
                "name": judge,
                "labels": len(labels),
                **agreement.with_people({item: row.probability for item, row in labels.items()}, people),
                "checks": len(checks),
                "accuracy": right / len(checks) if checks else None,
                "accuracy_low": low,
                "accuracy_high": high,
            }
        )
    return rows
