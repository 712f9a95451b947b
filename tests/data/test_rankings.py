"""Rankings as their pairs, and pairs as rankings again."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueward.algorithms.reward_model import group_by_prompt
from trueward.data import comparisons
from trueward.data.options import ReadOptions
from trueward.pipeline.reward_eval import split_comparisons
from trueward.records import Comparison

RANKED = {"prompt": "The sky is", "responses": [" blue.", " green.", " red."], "ranks": [1, 3, 2]}


def save(folder: Path, *rows: Any) -> Path:
    path = folder / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def labels(rows: list[Comparison]) -> list[tuple[str, str, float]]:
    return [(c.first.text.strip(" ."), c.second.text.strip(" ."), c.probability) for c in rows]


BY_HAND = [("blue", "green", 1), ("blue", "red", 1), ("green", "red", 0)]


@pytest.mark.parametrize(
    "row",
    [
        RANKED,
        RANKED | {"ranks": [1.5, 9, 2]},
        {"prompt": RANKED["prompt"], "responses": RANKED["responses"], "scores": [7, -1, 0.5]},
        {
            "prompt": RANKED["prompt"],
            "responses": [[{"role": "assistant", "content": t}] for t in RANKED["responses"]],
            "ranks": [1, 3, 2],
        },
        {
            "prompt": RANKED["prompt"],
            "answers": [
                {"answer": t, "rank": r, "model": "m"} for t, r in zip(RANKED["responses"], [1, 3, 2], strict=True)
            ],
        },
    ],
)
def test_a_ranking_is_all_its_pairs(row: dict[str, Any], tmp_path: Path) -> None:
    rows = comparisons.read(save(tmp_path, row)).rows
    assert labels(rows) == BY_HAND
    assert {c.group for c in rows} == {"people.jsonl:1"}


def test_without_ranks_the_best_comes_first_if_that_is_known_and_equal_ranks_are_ties(tmp_path: Path) -> None:
    path = save(tmp_path, {k: v for k, v in RANKED.items() if k != "ranks"})
    rows = comparisons.read(path, options=ReadOptions(order="best-first")).rows
    assert [p for *_, p in labels(rows)] == [1, 1, 1]
    rows = comparisons.read(save(tmp_path, RANKED | {"ranks": [1, 2, 1]})).rows
    assert [p for *_, p in labels(rows)] == [1, 0.5, 0]


def test_what_is_left_out_of_a_ranking(tmp_path: Path) -> None:
    odd = RANKED | {"responses": [" blue.", " blue.", " ", " red."], "ranks": [1, 2, 3, 4]}
    loaded = comparisons.read(save(tmp_path, RANKED, odd, RANKED | {"responses": ["x"], "ranks": [1]}))
    assert loaded.left_out == Counter({"empty response": 1, "identical responses": 1, "one response alone": 1})
    assert len(loaded.rows) == 3 + 2


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (RANKED | {"ranks": [1, 2]}, '"ranks": expected 3 numbers, one for each response, got 2'),
        (RANKED | {"ranks": [1, 2, "3"]}, '"ranks[2]": expected a number, got a string'),
        (RANKED | {"ranks": 3}, '"ranks": expected a list of numbers, got a number'),
        (RANKED | {"responses": "x"}, '"responses": expected a list of responses, got a string'),
        (RANKED | {"responses": ["x", 3, "y"]}, '"responses[1]": expected a response, got a number'),
        ({"responses": ["x", "y"]}, 'missing field "prompt"'),
    ],
)
def test_errors_name_the_field(row: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = save(tmp_path, RANKED, row)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        comparisons.read(path)
    assert str(error.value) == f"{path}, line 2: {message}"


@st.composite
def rankings(draw: st.DrawFn) -> dict[str, Any]:
    texts = draw(st.lists(st.text(min_size=1).filter(str.strip), min_size=2, max_size=5, unique=True))
    ranks = draw(st.lists(st.integers(1, 4), min_size=len(texts), max_size=len(texts)))
    annotator = draw(st.none() | st.just({"annotator": "ann"}))
    return {
        "prompt": draw(st.text(min_size=1).filter(str.strip)),
        "responses": texts,
        "ranks": ranks,
        **(annotator or {}),
    }


@given(st.lists(rankings(), min_size=1, max_size=3))
@settings(max_examples=60, deadline=None)
def test_rankings_come_back_whole(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        read = comparisons.read(save(Path(folder), *rows)).rows
        path = Path(folder) / "again.jsonl"
        assert comparisons.write(path, read, "rankings") == Counter()
        assert comparisons.read(path).rows == read
        assert len(path.read_text(encoding="utf-8").split("\n")) == len(rows) + 1  # one line a ranking


def test_pairs_that_are_no_ranking_are_written_as_pairs_and_that_is_counted(tmp_path: Path) -> None:
    rows = comparisons.read(save(tmp_path, RANKED)).rows
    circular = [
        rows[0],
        rows[1].model_copy(update={"probability": 0.0}),
        rows[2].model_copy(update={"probability": 1.0}),
    ]
    for group in (rows[:2], circular):
        lost = comparisons.write(tmp_path / "again.jsonl", group, "rankings")
        assert lost == Counter({"rankings": len(group)})
        assert labels(comparisons.read(tmp_path / "again.jsonl").rows) == labels(group)


def test_the_pairs_of_a_ranking_stay_together(tmp_path: Path) -> None:
    many = [RANKED | {"prompt": f"Prompt {i}"} for i in range(40)]
    rows = comparisons.read(save(tmp_path, *many)).rows
    train, held_out = split_comparisons(rows, 0.3)
    assert not {c.group for c in train} & {c.group for c in held_out}
    batches = group_by_prompt(train)  # the elements of which minibatches are made
    assert all(len(element.completions) == 3 and len(element.compared) == 3 for element in batches)
    assert len(batches) == len({c.group for c in train})
