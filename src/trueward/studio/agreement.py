"""How far people agree, by the same figures as `trueward comparisons agree`; and how far a judge agrees with them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from trueward.evaluation import agreement
from trueward.evaluation.statistics import wilson
from trueward.records import Prompt, Response

MIDDLE = 0.5
USUAL_LOW, USUAL_HIGH = 0.3, 0.6  # of alpha, around the .45 of 73 % agreement on two choices
NOTHING_YET = "It is known when two people have judged the same pair."


def turned(prompt: Prompt, first: Response, second: Response) -> bool:
    """Whether the first response is the one called B in agreement figures: a fair coin, from a hash of the pair."""
    sides = [(side.text, side.finished) for side in (first, second)]
    low, high = sorted(sides)
    return (sides[0] == low) == agreement.turned(prompt, low, high)


def raw(votes: Sequence[float]) -> float | None:
    """The share of equal votes among all pairs of votes on one item; None if there is no pair."""
    return agreement.raw(agreement.counts([votes])) if len(votes) > 1 else None


def summary(votes: Mapping[Any, Sequence[float]]) -> dict[str, Any]:
    """Agreement figures for the project's page, with 95 % intervals over pairs. votes: by pair, each 1, ½ or 0 for A."""
    n = agreement.counts([unit for unit in votes.values() if len(unit) > 1])
    if not len(n):
        return {
            "alpha": None,
            "alpha_low": None,
            "alpha_high": None,
            "agreement": None,
            "items": 0,
            "words": NOTHING_YET,
        }
    shared = agreement.raw(n)
    low, high = wilson(shared * len(n), len(n))
    alphas = (agreement.krippendorff(n), *agreement.interval(n, agreement.krippendorff))
    alpha, alpha_low, alpha_high = (value if math.isfinite(value) else None for value in alphas)
    return {
        "alpha": alpha,
        "alpha_low": alpha_low,
        "alpha_high": alpha_high,
        "agreement": shared,
        "agreement_low": low,
        "agreement_high": high,
        "items": len(n),
        "words": words(alpha, alpha_low, alpha_high),
    }


def words(alpha: float | None, low: float | None, high: float | None) -> str:
    """What an alpha and its 95 % interval say, in a sentence or two. None: it has no value."""
    if alpha is None:
        return "Everybody has chosen the same all the time, so nothing tells agreement from habit yet."
    if low is None or high is None:
        return "One pair says nothing yet: an interval takes two."
    if high < 0:
        return (
            "People disagree more than by chance. Such a thing has a cause: instructions that two people read in two ways, "
            "or somebody who answers the wrong way round. Look at the split items before anything is trained on this."
        )
    if low <= 0:
        if high >= USUAL_LOW:
            return "Too few pairs to say: chance is inside the interval, and so is what preferences usually reach."
        return (
            "That can't be told from chance. A reward model would learn little or nothing from these answers: look at the "
            "split items, the check pairs and what people are told to go by."
        )
    if high < USUAL_LOW:
        return (
            "More than chance, and less than preferences usually reach (an alpha near .45). Some of it may be the "
            "instructions: read the split items, and decide those that matter."
        )
    if low > USUAL_HIGH:
        return "More than preferences usually reach (an alpha near .45): these pairs are clear."
    return (
        "Within what preferences usually reach: people who compare answers agree on about 73 %, which is an alpha near .45. "
        "It is also about the best that a reward model can do."
    )


def with_people(model_votes: Mapping[int, float], votes: Mapping[int, Sequence[float]]) -> dict[str, Any]:
    """A judge's agreement with people: the share of their votes that equal its choice, with Wilson's interval.

    model_votes: by item the probability that the judge gives to the first response; a soft label counts as the more
    probable choice. votes: people's, for the first response too. Items are weighted alike.
    """
    shares = [_share(lean(p), votes[item]) for item, p in model_votes.items() if votes.get(item)]
    if not shares:
        return {"agreement": None, "agreement_low": None, "agreement_high": None, "items": 0}
    mean = math.fsum(shares) / len(shares)
    low, high = wilson(mean * len(shares), len(shares))
    return {"agreement": mean, "agreement_low": low, "agreement_high": high, "items": len(shares)}


def lean(probability: float) -> float:
    """A soft label as a choice: 1, ½ or 0."""
    return MIDDLE if probability == MIDDLE else float(probability > MIDDLE)


def _share(choice: float, votes: Iterable[float]) -> float:
    cast = list(votes)
    return sum(vote == choice for vote in cast) / len(cast)
