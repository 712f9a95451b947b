"""The annotators of a file of comparisons: their agreement, accuracy on check pairs, position bias, contradictions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from math import isfinite
from typing import Any

from trueward.data.comparisons import agreement as agreement_of_votes
from trueward.evaluation import agreement
from trueward.evaluation.statistics import wilson
from trueward.records import Comparison, Prompt

Row = dict[str, Any]
Pair = tuple[Prompt, tuple[str, bool], tuple[str, bool]]
Vote = tuple[str | None, float]  # annotator, and 1, ½ or 0 for the pair's lower response
LARGEST = 60  # responses to one prompt; where there are more, its triples aren't counted


def examine(comparisons: Sequence[Comparison], checks: Sequence[Comparison] = ()) -> Row:
    """All figures of `trueward comparisons agree` (docs/comparisons.md). checks: further pairs whose winner is known.

    A soft label counts as the choice that it leans to. Of a named annotator's votes on one pair the first is taken for
    the agreement; the others are counted as repeated, or as contradictions.
    """
    votes: defaultdict[Pair, list[Vote]] = defaultdict(list)
    for c in comparisons:
        votes[c.pair].append((c.annotator, _choice(c.for_lower)))
    labels = {pair: _labels(pair, cast) for pair, cast in votes.items()}
    n = agreement.counts([[label for _, label in cast] for cast in labels.values()])
    names = sorted({c.annotator for c in comparisons if c.annotator})
    anonymous = sum(c.annotator is None for c in comparisons)
    between = _between(labels, names)
    known = _known([*comparisons, *checks])
    return {
        "comparisons": len(comparisons),
        "prompts": len({pair[0] for pair in votes}),
        "pairs": len(votes),
        "pairs_judged_twice": len(n),
        "ties": sum(_choice(c.probability) == 0.5 for c in comparisons),
        "soft_labels": sum(c.probability not in (0, 0.5, 1) for c in comparisons),
        "anonymous_votes": anonymous,
        **_agreement(n, comparisons, between if len(names) == 2 and not anonymous else []),
        "between": between,
        "annotators": [_annotator(name, comparisons, labels, known) for name in names],
        "check_pairs": _accuracy(comparisons, known),
        "position": position(comparisons),
        **_oddities(votes),
        "cycles": cycles(votes),
    }


def _choice(probability: float) -> float:
    return 0.5 if probability == 0.5 else float(probability > 0.5)


def _labels(pair: Pair, cast: Iterable[Vote]) -> list[Vote]:
    """One vote of each named annotator and all anonymous ones, for a side that a fair coin picked."""
    coin = agreement.turned(*pair)
    labels: list[Vote] = []
    seen: set[str] = set()
    for name, choice in cast:
        if name is None or name not in seen:
            labels.append((name, 1 - choice if coin else choice))
        if name is not None:
            seen.add(name)
    return labels


def _number(value: float) -> float | None:
    return round(value, 4) if isfinite(value) else None


def _interval(name: str, value: float, low: float, high: float) -> Row:
    return {name: _number(value), f"{name}_low": _number(low), f"{name}_high": _number(high)}


def _agreement(n: Any, comparisons: Sequence[Comparison], between: Sequence[Row]) -> Row:
    if not len(n):
        return {"agreement": None, "agreement_ties_half": None, "kappa": None, "kappa_of": None, "alpha": None}
    raw = agreement.raw(n)
    half = agreement_of_votes(comparisons)
    row = {
        **_interval("agreement", raw, *wilson(raw * len(n), len(n))),
        "agreement_ties_half": None if half is None else round(half, 4),
        **_interval("kappa", agreement.fleiss(n), *agreement.interval(n, agreement.fleiss)),
        "kappa_of": "Fleiss",
        **_interval("alpha", agreement.krippendorff(n), *agreement.interval(n, agreement.krippendorff)),
    }
    return row | ({"kappa": between[0]["kappa"], "kappa_of": "Cohen"} if between else {})


def _between(labels: dict[Pair, list[Vote]], names: Sequence[str]) -> list[Row]:
    """Agreement of every two annotators, on the pairs that both judged."""
    both: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for cast in labels.values():
        named = sorted((name, choice) for name, choice in cast if name is not None)
        for (one, a), (other, b) in combinations(named, 2):
            both[one, other].append((a, b))
    return [
        {
            "first": one,
            "second": other,
            "pairs": len(both[one, other]),
            "agreement": round(sum(a == b for a, b in both[one, other]) / len(both[one, other]), 4),
            "kappa": _number(agreement.cohen(both[one, other])),
        }
        for one, other in combinations(names, 2)
        if both[one, other]
    ]


def _known(comparisons: Iterable[Comparison]) -> dict[Pair, float]:
    """Pairs with a known winner, from their `check`: 1 if it is the lower response."""
    winners = {}
    for c in comparisons:
        if c.check is not None:
            first_is_lower = c.model_copy(update={"probability": 1.0}).for_lower
            winners[c.pair] = first_is_lower if c.check == "first" else 1 - first_is_lower
    return winners


def _accuracy(comparisons: Sequence[Comparison], known: dict[Pair, float]) -> Row:
    """Votes on check pairs that chose the known winner, with Wilson's interval; a tie counts as wrong."""
    judged = [_choice(c.for_lower) == known[c.pair] for c in comparisons if c.pair in known]
    right, votes = sum(judged), len(judged)
    accuracy = right / votes if votes else float("nan")
    low, high = wilson(right, votes) if votes else (float("nan"),) * 2
    return {"votes": votes, "right": right, **_interval("accuracy", accuracy, low, high)}


def _annotator(
    name: str, comparisons: Sequence[Comparison], labels: dict[Pair, list[Vote]], known: dict[Pair, float]
) -> Row:
    own = [c for c in comparisons if c.annotator == name]
    agreed = shared = 0
    for pair in {c.pair for c in own}:
        mine = next(choice for who, choice in labels[pair] if who == name)
        others = [choice for who, choice in labels[pair] if who != name]
        agreed, shared = agreed + sum(choice == mine for choice in others), shared + len(others)
    seat = position(own)
    return {
        "annotator": name,
        "votes": len(own),
        "ties": sum(_choice(c.probability) == 0.5 for c in own),
        "agreement": round(agreed / shared, 4) if shared else None,
        "check_pairs": (checked := _accuracy(own, known))["votes"],
        **{key: checked[key] for key in ("accuracy", "accuracy_low", "accuracy_high")},
        **{key: seat[key] for key in ("first", "first_low", "first_high")},
    }


def position(comparisons: Sequence[Comparison]) -> Row:
    """How often the response shown first was chosen, of the decided ones, with Wilson's interval.

    None where the first one always won: such a file lists the chosen response first, whichever one was shown first.
    """
    decided = [c.probability > 0.5 for c in comparisons if c.probability != 0.5]
    wins, n = sum(decided), len(decided)
    in_shown_order = n > 0 and not (wins == n and n > 1)
    low, high = wilson(wins, n) if in_shown_order else (float("nan"),) * 2
    return {"decided": n, **_interval("first", wins / n if in_shown_order else float("nan"), low, high)}


def _oddities(votes: dict[Pair, list[Vote]]) -> Row:
    """Repeated votes, and pairs that were decided both ways: by one annotator, or by different ones."""
    repeated = within = between = 0
    for cast in votes.values():
        ways = {choice for _, choice in cast if choice != 0.5}
        own: defaultdict[str, list[float]] = defaultdict(list)
        for name, choice in cast:
            if name is not None:
                own[name].append(choice)
        again = [name for name, choices in own.items() if {0.0, 1.0} <= set(choices)]
        repeated += sum(len(choices) - len(set(choices)) for choices in own.values())
        within += len(again)
        between += len(ways) == 2 and not again
    return {"repeated": repeated, "contradictions": {"of_one_annotator": within, "between_annotators": between}}


def cycles(votes: dict[Pair, list[Vote]]) -> Row:
    """Prompts whose majority choices contain a cycle (A over B over C over A), and the share of circular triples.

    A triple counts where all three pairs are decided; Kendall and Babington Smith (1940) call circular ones inconsistent.
    """
    over: defaultdict[Prompt, dict[object, set[object]]] = defaultdict(dict)
    for (prompt, low, high), cast in votes.items():
        balance = sum(choice - 0.5 for _, choice in cast)
        if balance:
            better, worse = (low, high) if balance > 0 else (high, low)
            over[prompt].setdefault(better, set()).add(worse)
            over[prompt].setdefault(worse, set())
    circular = [prompt for prompt, beaten in over.items() if has_cycle(beaten)]
    triples, bad = 0, 0
    for beaten in over.values():
        if len(beaten) > LARGEST:
            continue
        for trio in combinations(beaten, 3):
            wins = sorted(sum(other in beaten[one] for other in trio) for one in trio)
            triples += sum(wins) == 3
            bad += wins == [1, 1, 1]
    return {
        "prompts": len(circular),
        "triples": triples,
        "circular_triples": bad,
        "examples": [str(prompt)[:80] for prompt in circular[:3]],
    }


def has_cycle(beaten: dict[object, set[object]]) -> bool:
    """Whether a directed graph has a cycle. beaten: for each node, the nodes that it beats."""
    losses = Counter(worse for all_worse in beaten.values() for worse in all_worse)
    free = [node for node in beaten if not losses[node]]
    gone = 0
    while free:
        gone += 1
        for worse in beaten[free.pop()]:
            losses[worse] -= 1
            if not losses[worse]:
                free.append(worse)
    return gone < len(beaten)
