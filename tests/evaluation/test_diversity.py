from __future__ import annotations

import pytest

from trueward.evaluation.diversity import distinct, figures, longest_repeat


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 0),
        ("a b c", 0),
        ("a b a", 1),
        ("a b c a b", 2),
        ("very very very", 2),
        ("x one of the best y one of the best z one of", 4),
    ],
)
def test_longest_repeat(text: str, words: int) -> None:
    assert longest_repeat(text.split()) == words


def test_distinct_counts_over_all_answers() -> None:
    answers = [["a", "b", "a"], ["a", "b"]]
    assert distinct(answers, 1) == 2 / 5
    assert distinct(answers, 2) == 2 / 3  # ab, ba, ab
    assert distinct([["a"]], 2) == 0.0
    assert figures(answers) == {"distinct_1": 0.4, "distinct_2": pytest.approx(2 / 3), "longest_repeat": 0.5}
    assert figures([])["longest_repeat"] == 0
