"""How far people agree: Krippendorff's alpha, raw agreement, and annotators against check pairs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def alpha(units: Iterable[Sequence[float]]) -> float | None:
    """Krippendorff's alpha with squared differences, 1 − D_o/D_e (Krippendorff 2019, chapter 12).

    Each unit is one item's votes: the probability that its first response is the better one, so a tie is .5 and half way
    from a win. Units with fewer than two votes say nothing. 1 is full agreement, 0 what chance gives; None if nothing
    was judged twice, or all votes are equal.
    """
    pairable = [unit for unit in units if len(unit) > 1]
    n = sum(map(len, pairable))
    values = [value for unit in pairable for value in unit]
    expected = _spread(values) / (n - 1) if n else 0.0
    if not expected > 0:
        return None
    observed = math.fsum(_spread(unit) / (len(unit) - 1) for unit in pairable)
    return 1 - observed / expected


def _spread(values: Sequence[float]) -> float:
    """Σ (a − b)² over all ordered pairs."""
    total = math.fsum(values)
    return 2 * (len(values) * math.fsum(v * v for v in values) - total * total)


def raw(units: Iterable[Sequence[float]]) -> float | None:
    """The share of equal votes among all pairs of votes on one item, items weighed alike; None if there is no pair."""
    shares = []
    for unit in units:
        if (n := len(unit)) > 1:
            equal = sum(unit[i] == unit[j] for i in range(n) for j in range(i))
            shares.append(equal / (n * (n - 1) / 2))
    return math.fsum(shares) / len(shares) if shares else None


def summary(votes: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    """What the project's page says of the votes by item."""
    twice = [unit for unit in votes.values() if len(unit) > 1]
    return {"alpha": alpha(twice), "agreement": raw(twice), "items": len(twice)}
