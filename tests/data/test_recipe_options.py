"""How files are read, as a recipe's [data] or a call says it; errors then name settings, not options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.data import comparisons, given, loading
from trueward.data.options import ReadOptions
from trueward.pipeline import sources


def save(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def recipe(**data: Any) -> config.Recipe:
    return config.read("tiny", [f"data.{key}={config.as_toml(value, key)}" for key, value in data.items()])


def test_columns_of_demonstrations_and_prompts(tmp_path: Path) -> None:
    shown = save(tmp_path / "shown.jsonl", {"frage": "a?", "reply": "b"}, {"frage": "c?", "reply": "d"})
    asked = save(tmp_path / "asked.jsonl", {"frage": "e?"})
    columns = {"prompt": "frage", "completion": "reply", "chosen": "better"}
    source = sources.read(recipe(demonstrations=str(shown), prompts=str(asked), columns=columns))
    assert [(d.prompt.text, d.response) for d in source.demonstrations] == [("a?", "b"), ("c?", "d")]
    assert [p.text for p in source.prompts] == ["e?"]


def test_a_file_that_has_trueward_s_own_names_is_read_beside_another(tmp_path: Path) -> None:
    shown = save(tmp_path / "shown.jsonl", {"prompt": "a", "completion": "b"})
    asked = save(tmp_path / "asked.jsonl", {"frage": "e?"})
    source = sources.read(recipe(demonstrations=str(shown), prompts=str(asked), columns={"prompt": "frage"}))
    assert (source.demonstrations[0].prompt.text, source.prompts[0].text) == ("a", "e?")


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    shown = save(tmp_path / "shown.jsonl", {"question": "a?", "reply": "b"})
    with pytest.raises(ValueError, match=r'missing field of data.columns = \{completion = "answer"\}') as caught:
        sources.read(recipe(demonstrations=str(shown), columns={"completion": "answer"}))
    assert "--" not in str(caught.value)


def test_roles(tmp_path: Path) -> None:
    talk = {"messages": [{"role": "user", "content": "a"}, {"role": "bot", "content": "b"}]}
    shown = save(tmp_path / "shown.jsonl", talk)
    with pytest.raises(ValueError, match=r'data.roles = \{bot = "assistant"\} reads it as that'):
        sources.read(recipe(demonstrations=str(shown)))
    source = sources.read(recipe(demonstrations=str(shown), roles={"bot": "assistant"}))
    assert source.demonstrations[0].response == "b"


RANKED = {"prompt": "p", "responses": ["x", "y"]}
CONTRADICTED = {"prompt": "p", "chosen": "x", "rejected": "y", "score_chosen": 2, "score_rejected": 6}
SOUND = {"prompt": "q", "chosen": "x", "rejected": "y"}


def test_order_and_contradictions_of_comparisons(tmp_path: Path) -> None:
    ranked, judged = save(tmp_path / "ranked.jsonl", RANKED), save(tmp_path / "judged.jsonl", CONTRADICTED, SOUND)
    with pytest.raises(ValueError, match=r'data.order = "best-first" says that the list is in order'):
        comparisons.read_all([ranked], sources.options(recipe().data))
    rows = comparisons.read_all([ranked], sources.options(recipe(order="best-first").data)).rows
    assert [(c.first.text, c.probability) for c in rows] == [("x", 1)]
    with pytest.raises(ValueError, match=r'data.contradictions = "drop" leaves such rows out'):
        comparisons.read_all([judged], sources.options(recipe().data))
    loaded = comparisons.read_all([judged], sources.options(recipe(contradictions="drop").data))
    assert len(loaded.rows) == 1
    assert loaded.left_out == {"contradicted by its own scores": 1}


def test_a_call_reads_rows_the_same_way() -> None:
    how = ReadOptions(columns={"prompt": "frage", "chosen": "gut", "rejected": "schlecht"}, in_recipe=True)
    rows = [{"frage": "a?", "gut": "b", "schlecht": "c"}]
    (pair,) = given.comparisons(rows, "comparisons", how).rows
    assert (pair.prompt.text or pair.prompt.messages[0].content, pair.first.text) == ("a?", "b")


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("order", "worst-first", "data.order"),
        ("contradictions", "keep", "data.contradictions"),
        ("columns", 3, "data.columns"),
    ],
)
def test_values_that_are_none(name: str, value: Any, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        recipe(**{name: value})


def test_other_columns_are_kept_beside_prompts_for_scorers(tmp_path: Path) -> None:
    rows = [{"prompt": "a", "answer": 1, "level": "easy", "none": None}, {"prompt": "b", "answer": 2, "level": "hard"}]
    path = save(tmp_path / "asked.jsonl", *rows)
    plain = sources.read(recipe(prompts=str(path)))
    assert (plain.columns, plain.ignored) == ({}, {"level": 2})
    own = config.read("tiny", [f"data.prompts={path}", "evaluation.truths=['mine:f']"])
    source = sources.read(own)
    assert [p.columns for p in source.prompts] == [{}, {}], "no stage's result holds them"
    assert source.columns == {
        source.prompts[0].id: {"answer": 1, "level": "easy"},
        source.prompts[1].id: {"answer": 2, "level": "hard"},
    }
    assert source.ignored == {}


def test_rows_that_differ_in_other_columns_alone_are_repeated(tmp_path: Path) -> None:
    path = save(tmp_path / "asked.jsonl", {"prompt": "a", "id": 1}, {"prompt": "a", "id": 2})
    loaded = loading.prompts(str(path), options=ReadOptions(keep=True))
    assert [p.columns for p in loaded.rows] == [{"id": 1}]
    assert loaded.left_out == {"repeated": 1}


def with_a_deep_row(path: Path, depth: int, field: str) -> Path:
    bad = json.dumps({**SOUND, field: "HERE"}).replace('"HERE"', "[" * depth + "]" * depth)
    path.write_text(f"{json.dumps(SOUND)}\n{bad}\n{json.dumps(SOUND)}\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("depth", [110, 500, 900])
@pytest.mark.parametrize("field", ["meta", "chosen", "prompt"])
def test_a_row_that_is_nested_too_deep_is_left_out(tmp_path: Path, depth: int, field: str) -> None:
    loaded = comparisons.read(with_a_deep_row(tmp_path / "people.jsonl", depth, field))
    assert len(loaded.rows) == 2
    assert loaded.left_out == {"nested too deep": 1}


def test_one_that_no_reader_of_json_can_read_is_an_error(tmp_path: Path) -> None:
    path = with_a_deep_row(tmp_path / "people.jsonl", 100_000, "meta")
    with pytest.raises(ValueError, match=r", line 2: expected a JSON object, got one that is nested too deep$"):
        comparisons.read(path)
