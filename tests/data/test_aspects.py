"""Scores by aspect (helpful, honest...): their mean says which response is better, and is held against what else says it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trueward.data import comparisons
from trueward.data.options import ReadOptions

LIST = {"prompt": "p", "responses": ["x", "y"]}
TWO = {"prompt": "p", "response_a": "x", "response_b": "y"}


def outcome(folder: Path, row: dict[str, Any], **options: Any) -> tuple[str, float]:
    path = folder / "people.jsonl"
    path.write_text(json.dumps(row) + "\n", encoding="utf-8")
    (pair,) = comparisons.read(path, options=ReadOptions(**options)).rows
    better = pair.first if pair.probability >= 0.5 else pair.second
    return better.text, max(pair.probability, 1 - pair.probability)


ROWS: dict[str, tuple[dict[str, Any], tuple[str, float]]] = {
    "a table for each response": (
        {**LIST, "scores": [{"helpful": 1, "honest": 5}, {"helpful": 5, "honest": 4}]},
        ("y", 1),
    ),
    "a list for each aspect": ({**LIST, "scores": {"helpful": [1, 5], "honest": [5, 4]}}, ("y", 1)),
    "equal means": ({**LIST, "scores": {"helpful": [1, 5], "honest": [5, 1]}}, ("x", 0.5)),
    "written out": ({**LIST, "ratings": [{"helpful": "1"}, {"helpful": "2"}]}, ("y", 1)),
    "columns of two responses": (
        {**TWO, "helpfulness_a": 1, "helpfulness_b": 4, "honesty_a": 3, "honesty_b": 2},
        ("y", 1),
    ),
    "a table beside each": ({**TWO, "scores_a": {"helpful": 1}, "scores_b": {"helpful": 4}}, ("y", 1)),
}


@pytest.mark.parametrize("case", ROWS)
def test_the_mean_decides(case: str, tmp_path: Path) -> None:
    row, expected = ROWS[case]
    assert outcome(tmp_path, row) == expected


def test_a_chosen_response_with_lower_aspects_is_a_contradiction(tmp_path: Path) -> None:
    row = {
        "prompt": "p",
        "chosen": "x",
        "rejected": "y",
        "score_chosen": {"a": 1, "b": 2},
        "score_rejected": {"a": 4, "b": 4},
    }
    with pytest.raises(ValueError, match="is the better one, and is scored lower here"):
        outcome(tmp_path, row)
    aspects = {"prompt": "p", "chosen": "x", "rejected": "y", "helpfulness_chosen": 1, "helpfulness_rejected": 4}
    with pytest.raises(ValueError, match="is the better one, and is scored lower here"):
        outcome(tmp_path, aspects)


def test_an_aspect_with_too_few_numbers(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'"scores.honest": expected 2 numbers, one for each response'):
        outcome(tmp_path, {**LIST, "scores": {"helpful": [1, 5], "honest": [5]}})
