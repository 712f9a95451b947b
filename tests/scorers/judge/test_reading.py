"""What counts as an answer, and whose log-probs are taken."""

from __future__ import annotations

import math
from typing import Any

import pytest

from trueward.scorers.judge.reading import FLOOR, parse, read

AB = ["A", "B"]
TEN = [str(i) for i in range(1, 11)]


@pytest.mark.parametrize(
    ("text", "words", "reasons", "got"),
    [
        ("A", AB, False, 0),
        (" (B).\n", AB, False, 1),
        ("**A**", AB, False, 0),
        ("Answer: B", AB, False, 1),
        ("Both are fine.\n**Answer:** A", AB, False, 0),
        ("Answer: A\nAnswer: A", AB, False, 0),
        ("10", TEN, False, 9),
        ("Answer: 7.", TEN, False, 6),
        ("Thinking.\nAnswer: A\nNo, wait.\nAnswer: B", AB, True, 1),
        ("", AB, False, None),
        ("a", AB, False, None),
        ("C", AB, False, None),
        ("A or B", AB, False, None),
        ("AB", AB, False, None),
        ("A is better.", AB, False, None),
        ("Answer: A\nAnswer: B", AB, False, None),
        ("Answer: both", AB, False, None),
        ("1 or 2", TEN, False, None),
        ("11", TEN, False, None),
        ("٧", TEN, False, None),
        ("A", AB, True, None),
        ("I prefer A.", AB, True, None),
    ],
)
def test_what_names_a_choice(text: str, words: list[str], reasons: bool, got: int | None) -> None:
    assert parse(text, words, reasons) == got


def answer(text: Any, *tops: dict[str, Any]) -> dict[str, Any]:
    content = [
        {"token": next(iter(top)), "top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()]} for top in tops
    ]
    return {"message": {"content": text}, "logprobs": {"content": content}}


def test_a_choice_that_is_not_listed_is_taken_at_its_upper_bound() -> None:
    assert read(answer("A", {"A": -0.01, "The": -5.0, "So": -6.0}), AB, False).logps == (-0.01, -6.0)


def test_stand_ins_for_nothing_do_not_outweigh_everything() -> None:
    assert read(answer("A", {"A": 0.0, "B": -9999.0}), AB, False).logps == (0.0, FLOOR)


def test_a_choice_of_several_tokens_has_its_text_alone() -> None:
    got = read(answer("10", {"1": -0.1, "2": -3.0}, {"0": -0.1}), TEN, False)
    assert (got.logps, got.named) == (None, 9)


def test_the_same_choice_in_several_tokens_is_summed() -> None:
    tops = {"A": math.log(0.3), " A": math.log(0.2), "(A": math.log(0.1), "B": math.log(0.4)}
    got = read(answer("A", tops), AB, False).logps
    assert got == pytest.approx((math.log(0.6), math.log(0.4)))


@pytest.mark.parametrize(
    "choice", [None, 3, {}, {"message": None}, {"message": {"content": None}}, {"message": {"content": ["A"]}}]
)
def test_a_message_without_text_is_an_error(choice: Any) -> None:
    assert read(choice, AB, False).wrong == "an answer without text"


@pytest.mark.parametrize("content", [None, "A", [None], [{"token": "A"}], [{"token": "A", "top_logprobs": [{}]}]])
def test_log_probs_in_another_shape_are_not_there(content: Any) -> None:
    got = read({"message": {"content": "A"}, "logprobs": {"content": content}}, AB, False)
    assert (got.logps, got.named, got.wrong) == (None, 0, "")
