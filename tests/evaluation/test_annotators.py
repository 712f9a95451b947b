"""What a file says of its annotators, against hand calculation and annotators whose habits are known."""

from __future__ import annotations

import random
from typing import Any

import pytest

from trueward.evaluation import annotators
from trueward.evaluation.statistics import wilson
from trueward.records import Comparison, Prompt, Response
from trueward.reporting import annotators_table


def vote(
    annotator: str | None, probability: float, prompt: str = "p", first: str = "x", second: str = "y", **further: Any
) -> Comparison:
    return Comparison(
        prompt=Prompt(text=prompt),
        first=Response(id="1", text=first),
        second=Response(id="2", text=second),
        probability=probability,
        source="test",
        annotator=annotator,
        **further,
    )


def turned(c: Comparison) -> Comparison:
    check = {"first": "second", "second": "first", None: None}[c.check]
    fields = {"first": c.second, "second": c.first, "probability": 1 - c.probability, "check": check}
    return c.model_copy(update=fields)


def test_by_hand() -> None:
    figures = annotators.examine(
        [
            vote("ann", 1, check="first"),
            vote("ben", 0),
            turned(vote("cy", 1)),
            vote("ann", 1, "q"),
            vote("ben", 1, "q"),
            vote("ann", 0.5, "r"),
        ]
    )
    assert (figures["comparisons"], figures["pairs"], figures["prompts"], figures["pairs_judged_twice"]) == (6, 3, 3, 2)
    assert figures["agreement"] == round((1 / 3 + 1) / 2, 4)
    assert figures["kappa_of"] == "Fleiss"
    assert figures["contradictions"] == {"of_one_annotator": 0, "between_annotators": 1}
    assert figures["check_pairs"] == {
        "votes": 3,
        "right": 2,
        "accuracy": 0.6667,
        "accuracy_low": round(wilson(2, 3)[0], 4),
        "accuracy_high": round(wilson(2, 3)[1], 4),
    }
    ann, ben, cy = figures["annotators"]
    assert (ann["votes"], ann["ties"], ann["agreement"], ann["accuracy"]) == (3, 1, round(2 / 3, 4), 1.0)
    assert (ben["agreement"], ben["accuracy"], cy["accuracy"]) == (round(1 / 3, 4), 0.0, 1.0)
    assert figures["position"]["decided"] == 5
    assert figures["position"]["first"] == 0.6
    assert cy["first"] == 0.0
    assert [(row["first"], row["second"], row["pairs"]) for row in figures["between"]] == [
        ("ann", "ben", 2),
        ("ann", "cy", 1),
        ("ben", "cy", 1),
    ]


def test_the_order_in_which_two_were_shown_changes_no_agreement() -> None:
    draw = random.Random(0)
    rows = [vote(n, draw.choice([0, 0.5, 1]), f"p{i}") for i in range(40) for n in ("ann", "ben", "cy")]
    mixed = [turned(c) if draw.random() < 0.5 else c for c in rows]
    one, other = annotators.examine(rows), annotators.examine(mixed)
    for name in ("agreement", "kappa", "alpha", "alpha_low", "between", "check_pairs", "contradictions", "cycles"):
        assert one.get(name) == other.get(name), name


def test_people_who_agree_73_per_cent_of_the_time_are_told_that_this_is_normal() -> None:
    draw = random.Random(1)
    rows = []
    for i in range(1000):
        first = float(draw.random() < 0.5)
        rows += [vote("ann", first, f"p{i}"), vote("ben", first if draw.random() < 0.73 else 1 - first, f"p{i}")]
    figures = annotators.examine(rows)
    assert figures["kappa_of"] == "Cohen"
    assert figures["agreement_low"] < 0.73 < figures["agreement_high"]
    assert figures["kappa"] == pytest.approx(2 * figures["agreement"] - 1, abs=0.01)
    assert figures["alpha_low"] < 0.46 < figures["alpha_high"]
    assert any("kappa of about .45" in text for text in annotators_table.sentences(figures))


def test_guessing_is_an_alpha_of_nought_and_a_favourite_place_is_seen() -> None:
    draw = random.Random(2)
    rows = [vote(n, float(draw.random() < 0.8), f"p{i}") for i in range(600) for n in ("ann", "ben")]
    figures = annotators.examine(rows)
    assert figures["position"]["first_low"] > 0.5
    assert figures["position"]["first_low"] < 0.8 < figures["position"]["first_high"]
    fair = annotators.examine([turned(c) if draw.random() < 0.5 else c for c in rows])
    assert fair["position"]["first_low"] < 0.5 < fair["position"]["first_high"]
    # Which of the two is shown first is drawn anew for each vote: then what they share is chance.
    guessed = [vote(n, float(draw.random() < 0.5), f"p{i}") for i in range(600) for n in ("ann", "ben")]
    alpha = annotators.examine(guessed)
    assert alpha["alpha_low"] < 0 < alpha["alpha_high"]


def test_a_file_with_the_chosen_one_first_says_nothing_of_places() -> None:
    figures = annotators.examine([vote(None, 1, f"p{i}") for i in range(5)])
    assert figures["position"] == {"decided": 5, "first": None, "first_low": None, "first_high": None}
    assert figures["agreement"] is None
    text = " ".join(annotators_table.sentences(figures))
    assert "doesn't say which one was shown first" in text
    assert "No pair was judged twice" in text


def test_repeated_votes_and_contradictions_of_one_annotator() -> None:
    figures = annotators.examine(
        [vote("ann", 1), vote("ann", 1), turned(vote("ann", 0)), vote("ben", 0), vote("ben", 0)]
    )
    assert figures["contradictions"] == {"of_one_annotator": 1, "between_annotators": 0}
    assert figures["repeated"] == 2
    assert figures["agreement"] == 0.0  # their first votes: one for x, one for y


def test_circles() -> None:
    circle = [vote("ann", 1, "p", a, b) for a, b in (("x", "y"), ("y", "z"), ("z", "x"))]
    line = [vote("ann", 1, "q", a, b) for a, b in (("x", "y"), ("y", "z"), ("x", "z"))]
    figures = annotators.examine([*circle, *line])["cycles"]
    assert figures == {"prompts": 1, "triples": 2, "circular_triples": 1, "examples": ["p"]}
    four = [vote("ann", 1, "p", a, b) for a, b in (("w", "x"), ("x", "y"), ("y", "z"), ("z", "w"))]
    figures = annotators.examine(four)["cycles"]  # no triple is complete, and still there's a circle
    assert (figures["prompts"], figures["triples"]) == (1, 0)
    undecided = [*circle[:2], vote("ann", 1, "p", "z", "x"), vote("ben", 0, "p", "z", "x")]
    assert annotators.examine(undecided)["cycles"]["prompts"] == 0


def test_checks_from_another_file_and_tables_that_can_be_drawn() -> None:
    rows = [vote("ann", 1), vote("ben", 0), vote("ann", 0.5, "q"), vote("ben", 0.9, "q")]
    figures = annotators.examine(rows, [turned(vote(None, 1, check="first")), vote(None, 1, "q", check="first")])
    assert [row["accuracy"] for row in figures["annotators"]] == [0.5, 0.5]
    assert figures["soft_labels"] == 1
    assert [table.row_count for table in annotators_table.tables(figures)] == [2]
    assert any("On check pairs 50 %" in text for text in annotators_table.sentences(figures))


def test_chance_is_a_half_whichever_response_sorts_first() -> None:
    """Both choose "a" over "b" in nine of ten pairs: .82 raw agreement, and 2·.82 − 1 beyond chance, not nought."""
    draw = random.Random(3)
    rows = [vote(n, float(draw.random() < 0.9), f"p{i}", "a", "b") for i in range(800) for n in ("ann", "ben")]
    figures = annotators.examine(rows)
    for kappa in (figures["kappa"], figures["alpha"]):
        assert kappa == pytest.approx(2 * figures["agreement"] - 1, abs=0.03)
