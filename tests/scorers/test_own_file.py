"""A user's function by the path of its file, and `trueward verifiers test` of a function."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueward.records import Completion, Prompt
from trueward.scorers import own_file, verifier_testing

REWARDS = """
from beside import BONUS

def right(prompts, completions, answer, **columns):
    return [1.0 if text.strip() == key else -BONUS for text, key in zip(completions, answer)]

def loose(prompts, completions, answer, **columns):
    return [float(key in text) for text, key in zip(completions, answer)]

def graded(completions):
    return [2.0 if c.response == c.prompt.answer else 1.0 for c in completions]

graded.bounds = (1, 2)

def column(prompts, completions, solution):
    return [0.0 for _ in completions]

def nothing(completions):
    return [0.0 for _ in completions]
"""


@pytest.fixture
def rewards(tmp_path: Path) -> str:
    (tmp_path / "beside.py").write_text("BONUS = 1.0\n")
    (tmp_path / "rewards.py").write_text(REWARDS)
    return str(tmp_path / "rewards.py")


@pytest.fixture
def prompts(tmp_path: Path) -> str:
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "2+2?", "answer": "4"}\n{"prompt": "3+3?", "answer": "6"}\n')
    return str(path)


def test_a_function_by_its_file(rewards: str) -> None:
    assert own_file.is_in_file(f"{rewards}:graded")
    assert not own_file.is_in_file("module:function")
    function = own_file.function_in(f"{rewards}:graded")
    assert function([Completion(prompt=Prompt(text="?", answer="4"), response="4")]) == [2.0]


def test_an_edited_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "f.py"
    path.write_text("def f(completions): return 1\n")
    assert own_file.function_in(f"{path}:f")([]) == 1
    path.write_text("def f(completions): return 2\n")
    assert own_file.function_in(f"{path}:f")([]) == 2


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("nix.py:f", "", "there is no file"),
        ("f.py:g", "def f(): ...", "has no g"),
        ("f.py:f", "f = 3", "expected a function, got int"),
        ("f.py:f", "1 / 0", r"can't be run: ZeroDivisionError: division by zero \(.*f.py, line 1\)"),
        ("f.py:f", "def f(:", "can't be run: SyntaxError"),
    ],
)
def test_what_is_no_function_is_one_line(tmp_path: Path, name: str, text: str, line: str) -> None:
    (tmp_path / "f.py").write_text(text)
    with pytest.raises(ValueError, match=line) as caught:
        own_file.function_in(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_a_function_passes_the_self_test(rewards: str, prompts: str) -> None:
    """-1 is wrong as well as 0, and bounds say what is right where it isn't 1."""
    for name in ("right", "graded"):
        text = verifier_testing.examine(f"{rewards}:{name}", prompts, {})
        assert "passes its self-test on 2 prompts" in text
        assert "the answer key                      2 × 1" in text
        assert "all answers at once                 4 × 0" in text


def test_a_module_of_the_current_directory(
    rewards: str, prompts: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "rewards:right passes its self-test" in verifier_testing.examine("rewards:right", prompts, {})


def test_a_loose_function_fails(rewards: str, prompts: str) -> None:
    with pytest.raises(ValueError, match=r"fails its self-test .*: two answers scores 1 and not 0: '4 or 6'"):
        verifier_testing.examine(f"{rewards}:loose", prompts, {})


def test_without_prompts_what_is_nothing_has_to_score_nothing(rewards: str) -> None:
    with pytest.raises(ValueError, match="column 'solution', which no row of the prompts has"):
        verifier_testing.examine(f"{rewards}:column", "", {})
    assert "passes its self-test on 2 prompts" in verifier_testing.examine(f"{rewards}:nothing", "", {})


def test_a_function_takes_no_options(rewards: str, prompts: str) -> None:
    with pytest.raises(ValueError, match="a function of your own, and takes no options"):
        verifier_testing.examine(f"{rewards}:right", prompts, {"marker": "####"})
