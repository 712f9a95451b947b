"""scripts/distributions.py: what has to be in sdist and wheel, and what must not."""

from __future__ import annotations

import os
import subprocess
import zipfile
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

import distributions
from distributions import IN_SDIST, IN_WHEEL, Distributions

Written = Callable[[list[str], list[str]], Distributions]

ROOT = Path(__file__).parents[2]
BY_THE_BUILDER = ("PKG-INFO", "trueward-*")  # what no file of the repository is


def example(patterns: tuple[str, ...]) -> list[str]:
    return [pattern.replace("*", "x") for pattern in patterns]


def test_what_is_whole_has_no_problems(written: Written) -> None:
    built = written(example(IN_SDIST), example(IN_WHEEL))
    assert distributions.problems(built) == []
    assert distributions.files(built.sdist) == example(IN_SDIST)
    assert f"{len(IN_SDIST)} files" in distributions.describe(built.sdist)


@pytest.mark.parametrize("pattern", [p for p in (*IN_WHEEL, *IN_SDIST) if not p.startswith(BY_THE_BUILDER[0])])
def test_each_thing_that_has_to_be_in_it_is_missed(written: Written, pattern: str) -> None:
    in_wheel = pattern in IN_WHEEL
    patterns = tuple(p for p in (IN_WHEEL if in_wheel else IN_SDIST) if p != pattern)
    built = written(example(IN_SDIST if in_wheel else patterns), example(patterns if in_wheel else IN_WHEEL))
    (problem,) = distributions.problems(built)
    assert problem == f"{(built.wheel if in_wheel else built.sdist).name}: has no {pattern}"


@pytest.mark.parametrize(
    "pattern", [p for p in (*IN_WHEEL, *IN_SDIST) if not any(fnmatchcase(p, b) for b in BY_THE_BUILDER)]
)
def test_what_has_to_be_in_it_is_in_the_repository(pattern: str) -> None:
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    if not names:
        pytest.skip("not a clone of the repository")
    assert distributions.missing(names, [f"src/{pattern}" if pattern in IN_WHEEL else pattern]) == []


@pytest.mark.parametrize(
    "name",
    [
        "src/trueward/__pycache__/seeds.cpython-311.pyc",
        "tests/.pytest_cache/README.md",
        ".hypothesis/unicode/data",
        "runs/tiny/report.json",
        "mutants/losses.py",
        "docs/page.md.orig",
        "tests/.DS_Store",
    ],
)
def test_junk(name: str) -> None:
    assert distributions.junk([name, "src/trueward/studio/runs/page.py", "tests/service.py"]) == [name]


def test_a_wheel_with_tests_or_junk(written: Written) -> None:
    wheel = [*example(IN_WHEEL), "tests/conftest.py", "trueward/__pycache__/x.pyc"]
    assert distributions.problems(written(example(IN_SDIST), wheel)) == [
        "trueward-1.2.3-py3-none-any.whl: trueward/__pycache__/x.pyc should not be in it",
        "trueward-1.2.3-py3-none-any.whl: tests/conftest.py lies outside the package",
    ]


def test_both_are_built_and_whole(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="builds sdist and wheel (extra dev)")
    built = distributions.build(ROOT, tmp_path)
    assert distributions.problems(built) == []
    with zipfile.ZipFile(built.wheel) as wheel:
        (name,) = [n for n in wheel.namelist() if n.endswith("/METADATA")]
        metadata = wheel.read(name).decode()
    assert "\nAuthor: the trueward developers\n" in metadata
    assert "\nLicense-Expression: Apache-2.0\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "\nClassifier: Typing :: Typed\n" in metadata
    assert "License ::" not in metadata  # an index refuses both


def test_what_is_not_built_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"^hatchling built no sdist: [^\n]+$"):
        distributions.build(tmp_path, tmp_path / "out")
    assert os.listdir(tmp_path) == ["pyproject.toml"]
