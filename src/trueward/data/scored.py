"""Scores, ratings, rewards and ranks beside responses: what they say of which is better, and whether it fits the rest."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import combinations
from typing import Any

from trueward.data.jsonl import kind
from trueward.data.rows import Row

SCORE, RANK = re.compile(r"score|rating|reward|grade"), re.compile(r"rank")
ASPECT = re.compile(r"helpful|correct|coheren|honest|truthful|harmless|following|relevan|accura|fluen|quality|overall")
"""Aspects of which more is better."""
SCORES = ("scores", "score", "rewards", "reward", "ratings", "rating", "overall_score", "pm_score")
RANKS = ("ranks", "rank", "ranking")
PREFERRED = ("winner", "preferred", "preference", "better")
CONTRADICTED = "contradicted by its own scores"
UNJUDGED = "not judged"


def pair(row: Row, one: str, other: str, texts: tuple[str, str], claimed: float | None) -> float | None:
    """The probability that the first is better, by what is claimed and by the scores of two columns (`score_chosen` beside
    `score_rejected`) or of a list. None if nothing says it. Scores that say the other are a contradiction, equal ones a tie.
    """
    leads = [(name, lead) for name, lead in (*_named(row, one, other), *_listed(row, texts)) if lead is not None]
    ahead, behind = [name for name, lead in leads if lead > 0], [name for name, lead in leads if lead < 0]
    if claimed is None and ahead and behind:
        row.contradiction(f'expected the same order as by "{ahead[0]}"', CONTRADICTED, behind[0])
    if claimed is not None and claimed > 0.5 and behind:
        row.contradiction(
            f'the response of "{one}" is the better one, and is scored lower here', CONTRADICTED, behind[0]
        )
    if claimed is not None and claimed < 0.5 and ahead:
        row.contradiction(
            f'the response of "{other}" is the better one, and is scored lower here', CONTRADICTED, ahead[0]
        )
    if not leads:
        return claimed
    if ahead or behind:
        return claimed if claimed is not None else float(bool(ahead))
    return 0.5


def _named(row: Row, one: str, other: str) -> list[tuple[str, float | None]]:
    """Of every column of numbers that is named after the first response, how far it's ahead of the second's."""
    one, other = _stem(one), _stem(other)
    leads: list[tuple[str, float | None]] = []
    for name in list(row.values):
        lower = name.lower()
        if not _parts(name, one) or not (RANK.search(lower) or SCORE.search(lower)):
            continue
        beside = _beside_name(name, one, other)
        if beside != name and row.has(beside):
            better, worse = _number(row.values[name]), _number(row.values[beside])
            if better is not None and worse is not None:
                row.taken.update((name, beside))
                leads.append((name, worse - better if RANK.search(lower) else better - worse))
    leads += _aspects(row, one, other) if not leads else []
    if row.has("margin") and one == "chosen" and (margin := _number(row.values["margin"])) is not None and margin < 0:
        leads.append(("margin", margin))
    for name in (*SCORES, *RANKS):
        if isinstance(both := row.values.get(name), dict):
            better, worse = _number(both.get(one)), _number(both.get(other))
            if better is not None and worse is not None:
                row.taken.add(name)
                leads.append((name, worse - better if name in RANKS else better - worse))
    leads += [(name, -1.0) for name in PREFERRED if one == "chosen" and row.values.get(name) == other]
    return leads


def _aspects(row: Row, one: str, other: str) -> list[tuple[str, float | None]]:
    """Of columns of aspects that are named after the two responses (`helpfulness_a`), how far the first is ahead on average."""
    leads: dict[str, float] = {}
    for name in list(row.values):
        beside = _beside_name(name, one, other)
        if _parts(name, one) and ASPECT.search(name.lower()) and beside != name and row.has(beside):
            better, worse = _number(row.values[name]), _number(row.values[beside])
            if better is not None and worse is not None:
                row.taken.update((name, beside))
                leads[name] = better - worse
    return [(next(iter(leads)), sum(leads.values()) / len(leads))] if leads else []


def _stem(name: str) -> str:
    """`a` of `response_a`."""
    return name.lower().rpartition("_")[2]


def _parts(name: str, stem: str) -> bool:
    """Whether the stem is a word of the name, in snake_case or camelCase."""
    return stem in [part.lower() for part in re.split(r"[^A-Za-z0-9]+|(?<=[a-z])(?=[A-Z])", name)]


def _beside_name(name: str, one: str, other: str) -> str:
    if len(one) > 1:
        return name.replace(one, other).replace(one.capitalize(), other.capitalize())
    return re.sub(rf"(?<![A-Za-z0-9]){re.escape(one)}(?![A-Za-z0-9])", other, name, flags=re.IGNORECASE)


def _listed(row: Row, texts: tuple[str, str]) -> list[tuple[str, float | None]]:
    """Of a list with one number for each of the two, or for each of the texts in a list beside it."""
    leads: list[tuple[str, float | None]] = []
    for name in (*SCORES, *RANKS):
        values = row.values.get(name)
        if not isinstance(values, list) or any(_number(value) is None for value in values):
            continue
        numbers = [float(value) for value in values]
        of = next((row.values[c] for c in ("generations", "responses", "completions") if row.has(c)), list(texts))
        if not isinstance(of, list) or len(of) != len(numbers) or not all(text in of for text in texts):
            continue
        row.taken.add(name)
        one, other = (numbers[of.index(text)] for text in texts)
        leads.append((name, other - one if name in RANKS else one - other))
    return leads


def _number(value: object) -> float | None:
    """A number, or one that is written out; the mean of an object's, which are of aspects; None for anything else."""
    if isinstance(value, dict) and value:
        numbers = [_number(aspect) for aspect in value.values()]
        known = [number for number in numbers if number is not None]
        return sum(known) / len(known) if len(known) == len(numbers) else None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def ranks(row: Row, name: str, responses: Sequence[object]) -> list[float]:
    """One number for each response of a list, of which the lowest is the best: by ranks, else by scores.

    `ValueError` if there are none and the options don't say that the list is in order.
    """
    orders = [*_inside(row, name, responses), *_beside(row, len(responses))]
    for (first, one), (second, other) in combinations(orders, 2):
        for i, j in combinations(range(len(responses)), 2):
            if (one[i] - one[j]) * (other[i] - other[j]) < 0:
                row.contradiction(
                    f'responses {i + 1} and {j + 1} are in the other order by "{first}"', CONTRADICTED, second
                )
    if orders:
        return orders[0][1]
    if row.column(*SCORES, *RANKS):
        row.unusable("expected ranks or scores, got none", UNJUDGED, name)
    if row.options.order == "best-first":
        return [float(place) for place in range(len(responses))]
    raise row.error(
        'there are neither "ranks" nor "scores" beside it; --order best-first says that the list is in order', name
    )


def _inside(row: Row, name: str, responses: Sequence[object]) -> list[tuple[str, list[float]]]:
    orders = []
    for key in (*RANKS, *SCORES):
        if any(isinstance(r, dict) and r.get(key) is not None for r in responses):
            values = [r.get(key) if isinstance(r, dict) else None for r in responses]
            orders.append((f"{name}.{key}", _numbers(row, f"{name}.{key}", values, len(responses), key in RANKS)))
    return orders


def _beside(row: Row, count: int) -> list[tuple[str, list[float]]]:
    return [(n, _numbers(row, n, row.values[n], count, n in RANKS)) for n in (*RANKS, *SCORES) if row.has(n)]


def _numbers(row: Row, name: str, values: object, count: int, is_rank: bool) -> list[float]:
    row.taken.add(name)
    if isinstance(values, dict):
        values = _by_aspect(row, name, values, count)
    if not isinstance(values, list):
        raise row.error(f"expected a list of numbers, got {kind(values)}", name)
    if not values or any(value is None for value in values):
        row.unusable("expected a number for each response", UNJUDGED, name)
    each: list[Any] = [_number(value) if isinstance(value, dict) else value for value in values]  # of aspects: the mean
    for place, value in enumerate(each):
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise row.error(f"expected a number, got {kind(value)}", f"{name}[{place}]")
        if not math.isfinite(value):
            row.unusable(f"expected a number, got {value}", UNJUDGED, f"{name}[{place}]")
    if len(each) != count:
        raise row.error(f"expected {count} numbers, one for each response, got {len(each)}", name)
    return [float(value) if is_rank else -float(value) for value in each]


def _by_aspect(row: Row, name: str, aspects: dict[str, Any], count: int) -> list[object]:
    """Of a list of numbers for each aspect, the mean for each response."""
    for aspect, values in aspects.items():
        if not isinstance(values, list) or len(values) != count:
            raise row.error(f"expected {count} numbers, one for each response", f"{name}.{aspect}")
    return [_number(dict(enumerate(column))) for column in zip(*aspects.values(), strict=True)]
