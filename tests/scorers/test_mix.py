"""Mixtures by hand: sums, gates, length, and parts that are all there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from trueward.records import Completion, Prompt, Score
from trueward.scorers.mix import Ingredient, Mix, length


def completions(*texts: str) -> list[Completion]:
    return [Completion(prompt=Prompt(text="p"), response=t) for t in texts]


def vowels(given: Sequence[Completion]) -> list[Score]:
    return [Score(score=c.response.count("a"), parts={"a": float(c.response.count("a"))}, cost=0.5) for c in given]


def short(given: Sequence[Completion]) -> list[Score]:
    return [Score(score=float(len(c.response) < 9), note="" if len(c.response) < 9 else "too long") for c in given]


def test_a_weighted_sum_with_its_parts() -> None:
    mix = Mix([Ingredient("v", vowels, 2.0), Ingredient("words", length, -0.5)], floor=-7.0)
    got = mix(completions("a banana", "b"))
    assert [v.score for v in got] == [2 * 4 - 0.5 * 2, -0.5]
    assert got[0].parts == {"v": 4.0, "v.a": 4.0, "words": 2.0}
    assert got[0].cost == 0.5


def test_a_gate_adds_nothing_and_has_to_be_passed() -> None:
    mix = Mix([Ingredient("short", short, 100.0, gate=True), Ingredient("v", vowels)], floor=-7.0)
    open_, shut = mix(completions("banana", "bananananana"))
    assert (open_.score, shut.score) == (3.0, -7.0)
    assert shut.parts == {"short": 0.0, "v": 6.0, "v.a": 6.0}
    assert shut.note == "did not pass short"


@pytest.mark.parametrize(("text", "words"), [("", 0), ("two words .", 2), ("don't - well-known", 2)])
def test_length_is_in_words(text: str, words: int) -> None:
    assert length(completions(text))[0].score == words
