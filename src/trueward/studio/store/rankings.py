"""Rankings: several answers to a prompt, put in order by people. A ranking is one event, and K(K - 1)/2 comparisons."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from types import SimpleNamespace
from typing import Any

from sqlalchemy import Connection, select

from trueward.records import Prompt, Response
from trueward.studio import agreement
from trueward.studio.store import tables as t
from trueward.studio.store.tables import DbRow

FEWEST, MOST = 2, 9  # answers of an item: a digit's key is a place
CHUNK = 500


def shown_order(secret: str, item_id: int, account_id: int, count: int) -> list[int]:
    """In which order an account sees the answers of an item: their places, drawn once, which the page can't predict."""

    def drawn(place: int) -> bytes:
        return hashlib.sha256(f"{secret}\0rank\0{item_id}\0{account_id}\0{place}".encode()).digest()

    return sorted(range(count), key=drawn)


def desk_order(key: str, count: int) -> list[int]:
    """In which order reviewers see them: drawn once for each item. key: the item's."""
    return sorted(range(count), key=lambda place: hashlib.sha256(f"{key}\0{place}".encode()).digest())


def stored(ranks: Sequence[int], order: Sequence[int]) -> str:
    """Ranks by answers in the order shown (1 is the best; equal ones are ties), as the database keeps them: by place.

    Kept is 1 and the number of answers that are better, so that one order has one way to be written. `ValueError` if there
    isn't a rank for each answer.
    """
    if len(ranks) != len(order):
        raise ValueError(f"ranks: expected one for each of the {len(order)} answers, got {len(ranks)}")
    by_place = {place: rank for place, rank in zip(order, ranks, strict=True)}
    return json.dumps([1 + sum(other < by_place[place] for other in ranks) for place in range(len(order))])


def in_order(ranks: str | None, order: Sequence[int]) -> list[int] | None:
    """Kept ranks by the order shown; None for an event without any."""
    if ranks is None:
        return None
    by_place = json.loads(ranks)
    return [by_place[place] for place in order]


def of_items(connection: Connection, ids: Iterable[int]) -> dict[int, list[DbRow]]:
    """The answers of items by id, each with its place, its response's id, name, text, and whether it ended."""
    wanted = sorted(set(ids))
    made: dict[int, list[DbRow]] = defaultdict(list)
    for start in range(0, len(wanted), CHUNK):
        query = (
            select(t.candidate.c.item_id, t.candidate.c.place, t.response)
            .join(t.response, t.response.c.id == t.candidate.c.response_id)
            .where(t.candidate.c.item_id.in_(wanted[start : start + CHUNK]))
            .order_by(t.candidate.c.item_id, t.candidate.c.place)
        )
        for row in connection.execute(query).all():
            made[row.item_id].append(row)
    return made


def as_pairs(connection: Connection, events: Sequence[DbRow]) -> list[Any]:
    """Votes or decisions with each ranking as all its pairs, which have the fields of a vote on a pair; others as they are."""
    ids = {row.item_id for row in events if row.ranks is not None}
    if not ids:
        return list(events)
    answers = of_items(connection, ids)
    prompts = _prompts(connection, ids)
    turned: dict[tuple[int, int, int], bool] = {}
    made: list[Any] = []
    for row in events:
        if row.ranks is None:
            made.append(row)
            continue
        ranked = list(zip(answers[row.item_id], json.loads(row.ranks), strict=True))
        for (first, one), (second, other) in combinations(ranked, 2):
            key = (row.item_id, first.id, second.id)
            if key not in turned:
                turned[key] = agreement.turned(prompts[row.item_id], _response(first), _response(second))
            chosen = None if one == other else first.id if one < other else second.id
            pair = {"first_id": first.id, "second_id": second.id, "chosen_id": chosen, "turned": turned[key]}
            kind = "tie" if chosen is None else "win"
            made.append(SimpleNamespace(**{**row._mapping, **pair, "kind": kind}))
    return made


def alike(ranks: Sequence[str]) -> float | None:
    """The share of equal choices in an item's rankings, over pairs of answers and of people; None for one alone."""
    if len(ranks) < 2:
        return None
    choices = [[(int(a) > int(b)) - (int(a) < int(b)) for a, b in combinations(json.loads(each), 2)] for each in ranks]
    equal = [one == other for a, b in combinations(choices, 2) for one, other in zip(a, b, strict=True)]
    return sum(equal) / len(equal)


def _prompts(connection: Connection, ids: Iterable[int]) -> dict[int, Prompt]:
    wanted = sorted(ids)
    made: dict[int, Prompt] = {}
    for start in range(0, len(wanted), CHUNK):
        query = select(t.item.c.id, t.item.c.prompt).where(t.item.c.id.in_(wanted[start : start + CHUNK]))
        made |= {row.id: Prompt.model_validate_json(row.prompt) for row in connection.execute(query).all()}
    return made


def _response(row: DbRow) -> Response:
    return Response(id=row.name, text=row.text, finished=row.finished)
