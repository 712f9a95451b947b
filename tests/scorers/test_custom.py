"""A user's own scorer: numbers or verdicts, and a clear word when it returns anything else."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from trueward.records import Completion, Prompt, Score
from trueward.scorers import custom
from trueward.scorers.custom import CustomScorer

TWO = [Completion(prompt=Prompt(text="p", answer="b"), response=r) for r in ("a", "b")]
MODULE = """
import numpy as np
from trueward.records import Verdict
def numbers(completions): return [c.response == c.prompt.answer for c in completions]
def verdicts(completions): return [Verdict(score=2.0, parts={"x": 1.0}) for _ in completions]
def array(completions): return np.arange(len(completions), dtype=np.float32)
def lazily(completions): return (0.5 for _ in completions)
def nothing(completions): pass
def table(completions): return {"score": 1}
def text(completions): return "11"
def few(completions): return [1.0]
def words(completions): return ["good", "bad"]
def lists(completions): return [[1.0], [2.0]]
def nan(completions): return [1.0, float("nan")]
SCORE = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_scorers.py").write_text(MODULE)
    (tmp_path / "broken_scorers.py").write_text("import nothing_like_it\n")
    (tmp_path / "failing_scorers.py").write_text("1 / 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("my_scorers", "broken_scorers", "failing_scorers"):
        monkeypatch.delitem(sys.modules, name, raising=False)


@pytest.mark.parametrize(
    ("function", "scores"), [("numbers", [0, 1]), ("verdicts", [2, 2]), ("array", [0, 1]), ("lazily", [0.5, 0.5])]
)
def test_right_shapes(function: str, scores: list[float]) -> None:
    assert [v.score for v in CustomScorer(f"my_scorers:{function}")(TWO)] == scores
    assert isinstance(CustomScorer(f"my_scorers:{function}")(TWO)[0], Score)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("my_scorers:nothing", "my_scorers:nothing returned None; expected a list of numbers or of Scores"),
        ("my_scorers:table", "returned a dict; expected a list"),
        ("my_scorers:text", "returned a str; expected a list"),
        ("my_scorers:few", "returned 1 scores for 2 completions; expected one each"),
        ("my_scorers:words", "returned a str for completion 0; expected a number or a Score"),
        ("my_scorers:lists", "returned a list for completion 0"),
        ("my_scorers:nan", "not a finite number for completion 1"),
        ("my_scorers:absent", "the module my_scorers has no absent"),
        ("my_scorers:SCORE", "expected a function, got an int"),
        ("no_such_scorers:f", "there is no module no_such_scorers; it is searched in the current directory"),
        ("broken_scorers:f", "broken_scorers can't be imported: No module named 'nothing_like_it'"),
        ("failing_scorers:f", "failing_scorers can't be imported: ZeroDivisionError"),
    ],
)
def test_wrong_ones(name: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        CustomScorer(name)(TWO)


def test_names(tmp_path: Path) -> None:
    assert custom.is_custom("my_scorers:numbers")
    assert custom.is_custom("a.b.c:d")
    for other in (
        "b",
        "model:runs/x",
        "model:x",
        "verifier:exact",
        "a:b:c",
        "C:\\x",
        "reasoning-gym:gcd",
        "a.b:",
        ":f",
    ):
        assert not custom.is_custom(other), other
    assert custom.source("my_scorers:numbers") == [tmp_path / "my_scorers.py"]
    assert custom.source("no_such_scorers:f") == []


def score_of(name: str) -> float:
    return CustomScorer(name)(TWO)[0].score


def test_a_module_that_was_changed_is_imported_anew(tmp_path: Path) -> None:
    """As a notebook does: edit, run again. The code that runs is the code that was fingerprinted."""
    file = tmp_path / "edited_scorers.py"
    file.write_text("def one(completions): return [1.0 for _ in completions]\n")
    assert custom.source("edited_scorers:one") == [file]
    assert score_of("edited_scorers:one") == 1.0
    file.write_text("def one(completions): return [2.0 for _ in completions]\n")
    assert score_of("edited_scorers:one") == 1.0  # a run under way keeps what it began with
    assert custom.source("edited_scorers:one") == [file]
    assert score_of("edited_scorers:one") == 2.0


def test_a_module_that_someone_else_imported_is_imported_anew_if_its_file_is_new(tmp_path: Path) -> None:
    file = tmp_path / "noticed_scorers.py"
    file.write_text("def one(completions): return [1.0 for _ in completions]\n")
    importlib.import_module("noticed_scorers")
    file.write_text("def one(completions): return [2.0 for _ in completions]\n")
    custom.source("noticed_scorers:one")
    assert score_of("noticed_scorers:one") == 2.0


def test_a_library_that_did_not_change_is_left_as_it_is() -> None:
    import json.decoder

    before = json.decoder
    assert custom.source("json.decoder:JSONDecoder") == [Path(json.decoder.__file__)]
    assert custom.function_of("json.decoder:JSONDecoder") is json.decoder.JSONDecoder
    assert sys.modules["json.decoder"] is before


@pytest.mark.parametrize("name", ["placed_scorers", "placed_package.scorers"])
def test_another_directory_has_another_module_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    file = Path(*name.split(".")).with_suffix(".py")
    for at, number in (("here", 1), ("there", 2)):
        (tmp_path / at / file).parent.mkdir(parents=True)
        if file.parent.name:
            (tmp_path / at / file.parent / "__init__.py").write_text("")
        (tmp_path / at / file).write_text(f"def one(completions): return [{number}.0 for _ in completions]\n")
    for at, number in (("here", 1), ("there", 2), ("here", 1)):
        monkeypatch.chdir(tmp_path / at)
        assert custom.source(f"{name}:one") == [tmp_path / at / file]
        assert score_of(f"{name}:one") == number
