"""What one person's finished choices taught: a small reward model of them, and how often others chose the same."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import Connection, select

from trueward.evaluation import taste
from trueward.evaluation.statistics import wilson
from trueward.records import Response
from trueward.studio.store import counts
from trueward.studio.store import tables as t

OTHERS = 10  # pairs that others judged too; of fewer, a share tells who said what


def taught(connection: Connection, project_id: int, name: str) -> dict[str, Any]:
    """Of the answers of the person called `name`; check pairs, ties and what was excluded aside.

    `taste`: of `trueward.evaluation.taste`, None where the choices are too few. `agreement`: with others on the same pairs,
    None where these are too few.
    """
    judged: dict[int, list[Any]] = defaultdict(list)
    for vote in counts.tallied(connection, project_id):
        if vote.check_id is None:
            judged[vote.item_id].append(vote)
    mine = {item: vote for item, votes in judged.items() for vote in votes if vote.name == name}
    wins = {item: vote for item, vote in mine.items() if vote.chosen_id is not None}
    texts = _texts(connection, project_id) if len(wins) >= taste.FEWEST else {}
    choices = []
    for item, vote in wins.items():
        if item in texts:
            first, second = texts[item]
            choices.append((first, second) if vote.chosen_id == vote.first_id else (second, first))
    fitted = taste.fit(choices)
    pairs = [
        counts.probability(vote) == counts.probability(other)
        for item, vote in mine.items()
        for other in judged[item]
        if other.name != name
    ]
    return {
        "choices": len(wins),
        "needed": taste.FEWEST,
        "taste": fitted.row() if fitted else None,
        "agreement": _share(sum(pairs), len(pairs)) if len(pairs) >= OTHERS else None,
    }


def _share(equal: int, of: int) -> dict[str, Any]:
    low, high = wilson(equal, of)
    return {"equal": equal, "of": of, "low": low, "high": high}


def _texts(connection: Connection, project_id: int) -> dict[int, tuple[Response, Response]]:
    """Both answers of each item."""
    first, second = t.response.alias(), t.response.alias()
    query = (
        select(t.item.c.id, first.c.text, first.c.finished, second.c.text, second.c.finished)
        .join(first, first.c.id == t.item.c.first_id)
        .join(second, second.c.id == t.item.c.second_id)
        .where(t.item.c.project_id == project_id)
    )
    return {
        item: (Response(id="first", text=a, finished=a_ended), Response(id="second", text=b, finished=b_ended))
        for item, a, a_ended, b, b_ended in connection.execute(query).all()
    }
