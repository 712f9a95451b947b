"""One bad row among many is left out and counted; more of them than are tolerated stop the reading."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.data import comparisons, importing, loading, tables
from trueward.data.options import ReadOptions
from trueward.pipeline import sources

JUDGED = {"prompt": "p", "response_a": "x", "response_b": "y", "winner": "a"}
PAIR = {"prompt": "p", "chosen": "x", "rejected": "y"}
SHOWN = {"prompt": "p", "completion": "x"}


def save(folder: Path, *rows: Any) -> Path:
    path = folder / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_unjudged_rows_are_left_out(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"people.{ending}"
    tables.write(path, [JUDGED, JUDGED | {"winner": None}, JUDGED | {"winner": "b"}])
    loaded = comparisons.read(path)
    assert [c.probability for c in loaded.rows] == [1, 0]
    assert loaded.left_out == Counter({"not judged": 1})


UNJUDGED: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "an empty winner": (JUDGED, JUDGED | {"winner": ""}),
    "no ranks": (
        {"prompt": "p", "responses": ["x", "y"], "ranks": [1, 2]},
        {"prompt": "p", "responses": ["x", "y"], "ranks": []},
    ),
    "half the scores": (
        {"prompt": "p", "responses": ["x", "y"], "scores": [1, 2]},
        {"prompt": "p", "responses": ["x", "y"], "scores": [None, 2]},
    ),
    "scores are NaN": (
        {"prompt": "p", "responses": ["x", "y"], "scores": [1, 2]},
        {"prompt": "p", "responses": ["x", "y"], "scores": [float("nan"), 2]},
    ),
    "scores are null": (
        {"prompt": "p", "responses": ["x", "y"], "scores": [1, 2]},
        {"prompt": "p", "responses": ["x", "y"], "scores": None},
    ),
}


@pytest.mark.parametrize("name", UNJUDGED)
def test_what_nobody_judged(name: str, tmp_path: Path) -> None:
    sound, row = UNJUDGED[name]
    loaded = comparisons.read(save(tmp_path, sound, row))
    assert len(loaded.rows) == 1
    assert loaded.left_out == Counter({"not judged": 1})


def test_numbers_that_are_none_in_columns_that_nobody_reads(tmp_path: Path) -> None:
    path = save(tmp_path, PAIR | {"loss": float("nan")}, PAIR | {"loss": float("-inf"), "of": [float("nan")]})
    assert len(comparisons.read(path).rows) == 2
    shown = save(tmp_path, SHOWN | {"loss": float("nan")})
    assert len(loading.demonstrations(str(shown)).rows) == 1


LEFT_OUT: dict[str, tuple[dict[str, Any], str]] = {
    "null": (SHOWN | {"completion": None}, "empty completion"),
    "no prompt": (SHOWN | {"prompt": float("nan")}, "empty prompt"),
    "half a character": (SHOWN | {"completion": "x\ud800"}, "half of a surrogate pair"),
    "the user's": ({"messages": [{"role": "user", "content": "Hi"}]}, "the last message is the user's"),
    "no message": ({"messages": []}, "no messages"),
    "null messages": ({"messages": None}, "no messages"),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_demonstrations_of_no_use(name: str, tmp_path: Path) -> None:
    row, reason = LEFT_OUT[name]
    loaded = loading.demonstrations(str(save(tmp_path, SHOWN, row)))
    assert len(loaded.rows) == 1
    assert loaded.left_out == Counter({reason: 1})


def test_more_than_are_tolerated_stop(tmp_path: Path) -> None:
    path = save(tmp_path, PAIR, *[PAIR | {"rejected": None}] * 2)
    message = (
        f"{path}: 2 of 3 rows can't be used (empty response 2), more than the share 0.5; --tolerate SHARE, or data.tolerate "
        "in a recipe, lets more of them be left out"
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011
        comparisons.read(path)
    assert str(error.value) == message
    assert len(importing.gather([str(path)], options=ReadOptions(tolerate=0.7)).rows) == 1
    with pytest.raises(ValueError, match=r"expected a share from 0 to 1, got 1\.5"):
        ReadOptions(tolerate=1.5)
    none = save(tmp_path, PAIR | {"rejected": None})
    with pytest.raises(ValueError, match=r"no row can be used \(empty response 1\)"):
        comparisons.read(none, options=ReadOptions(tolerate=1))


def test_repeated_rows_and_disliked_answers_are_no_broken_ones(tmp_path: Path) -> None:
    path = save(tmp_path, *[SHOWN | {"label": True}] * 9, *[SHOWN | {"label": False}] * 20)
    loaded = loading.demonstrations(str(path), options=ReadOptions(tolerate=0))
    assert loaded.left_out == Counter({"repeated": 8, "label is false": 20})


def test_a_recipe_says_how_many_are_tolerated(tmp_path: Path) -> None:
    path = save(tmp_path, SHOWN, *[SHOWN | {"completion": None}] * 2)
    with pytest.raises(ValueError, match="2 of 3 rows can't be used"):
        sources.read(config.read("tiny", [f"data.demonstrations={path}"]))
    source = sources.read(config.read("tiny", [f"data.demonstrations={path}", "data.tolerate=0.7"]))
    assert len(source.demonstrations) == 1


def test_the_command_takes_the_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Callable[..., tuple[int, str, str]]
) -> None:
    monkeypatch.chdir(tmp_path)
    save(
        tmp_path,
        {"q": "p", "good": "x", "bad": "y"},
        {"q": "p", "good": "x", "bad": None},
        {"q": "p", "good": "", "bad": "z"},
    )
    columns = ("--columns", "prompt=q,chosen=good,rejected=bad")
    code, _, err = command("comparisons", "import", "people.jsonl", *columns)
    assert (code, err.count("\n")) == (2, 1)
    assert "2 of 3 rows can't be used" in err
    code, out, _ = command("comparisons", "import", "people.jsonl", *columns, "--tolerate", "0.7", "--json")
    assert code == 0
    assert json.loads(out)["left_out"] == {"empty response": 2}
