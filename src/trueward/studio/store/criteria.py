"""Several questions about a pair: helpful, honest, harmless …, each a choice between the answers or a rating of both."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from trueward.studio import agreement
from trueward.studio.store.tables import DbRow

NAME = re.compile(r"[^\W_][\w-]{0,31}")  # a recipe names it: studio:PROJECT:NAME, see `data.snapshots`
RESERVED = ("demonstrations",)  # `rounds` keeps better versions of answers there
MOST, LONGEST_QUESTION = 6, 200
STRONGEST, BEST = 3, 5  # of a choice, either way; of a rating, from 1
MIDDLE = 0.5
Value = int | tuple[int, int]


@dataclass(frozen=True)
class PairCriterion:
    """One question. kind: `choice`, on the scale of the overall one, or `rating`, each answer from 1 to 5."""

    name: str
    question: str
    kind: Literal["choice", "rating"] = "choice"


def of(project: DbRow) -> list[PairCriterion]:
    """The questions of a project beside the overall one, in order."""
    return [PairCriterion(**each) for each in json.loads(project.criteria)] if project.criteria else []


def written(project: str, criteria: Sequence[PairCriterion]) -> str | None:
    """The questions as the database keeps them. `ValueError` for too many, a name that is none, or one that is there twice."""
    if len(criteria) > MOST:
        raise ValueError(f"project {project}: criteria: expected at most {MOST}, got {len(criteria)}")
    names = [each.name for each in criteria]
    for each in criteria:
        if not NAME.fullmatch(each.name) or each.name in RESERVED:
            raise ValueError(
                f"project {project}: criteria: {each.name!r}: expected letters, digits, - and _, at most 32"
            )
        if names.count(each.name) > 1:
            raise ValueError(f"project {project}: criteria: {each.name} is there twice")
        if not 1 <= len(each.question.strip()) <= LONGEST_QUESTION:
            raise ValueError(
                f"project {project}: criteria: {each.name}: expected a question of 1 to {LONGEST_QUESTION} characters"
            )
    return json.dumps([asdict(each) for each in criteria], ensure_ascii=False) if criteria else None


def stored(given: Mapping[str, Any], first_is_left: bool) -> str | None:
    """What somebody said, from sides to responses, as the database keeps it. `ValueError` for values that aren't any.

    given: by name a choice from -3 (left much better) to 3 (right much better), or a rating of both, {"left": 4, "right": 2}.
    Kept are: of a choice how much better the first response is, -3 to 3; of a rating the two, of the first response first.
    """
    kept: dict[str, Any] = {}
    for name, value in given.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"criteria: {name[:40]!r} is no name of one")
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= STRONGEST:
            kept[name] = -value if first_is_left else value
        elif isinstance(value, Mapping) and value.keys() == {"left", "right"} and all(map(_is_rating, value.values())):
            kept[name] = [value["left"], value["right"]] if first_is_left else [value["right"], value["left"]]
        else:
            raise ValueError(
                f'criteria: {name}: expected -{STRONGEST} to {STRONGEST}, or {{"left", "right"}} from 1 to {BEST}'
            )
    return json.dumps(kept, ensure_ascii=False) if kept else None


def _is_rating(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= BEST


def said(text: str | None) -> dict[str, Value]:
    """What an event says by criterion: how much better the first response is, or the ratings of the first and the second."""
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in json.loads(text or "{}").items()
    }


def outcome(value: Value) -> tuple[float, int | None]:
    """A value as a comparison has it: the probability that the first is better, and the strength, none for a tie."""
    lead = value if isinstance(value, int) else value[0] - value[1]
    if lead == 0:
        return MIDDLE, None
    return float(lead > 0), min(abs(lead), STRONGEST)


def figures(project: DbRow, votes: Sequence[DbRow]) -> list[dict[str, Any]]:
    """A row for each question: how many answered it, ties, agreement as for the overall choice, mean ratings.

    votes: on ordinary pairs.
    """
    criteria = of(project)
    values: dict[str, list[tuple[DbRow, Value]]] = defaultdict(list)
    for vote in votes if criteria else ():
        for name, value in said(vote.criteria).items():
            values[name].append((vote, value))
    rows = []
    for each in criteria:
        units: dict[int, list[float]] = defaultdict(list)
        for vote, value in values[each.name]:
            p = outcome(value)[0]
            units[vote.item_id].append(1 - p if vote.turned else p)
        ratings = [rating for _, value in values[each.name] if not isinstance(value, int) for rating in value]
        row = {**asdict(each), "answers": len(values[each.name]), "agreement": agreement.summary(units)}
        row["ties"] = sum(outcome(value)[0] == MIDDLE for _, value in values[each.name])
        rows.append(row | {"mean": sum(ratings) / len(ratings) if ratings else None})
    return rows
