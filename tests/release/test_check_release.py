"""scripts/check_release.py: tag, version and changelog agree, and git holds what is packed."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import check_release
from check_release import changelog_problems, name_problems, tag_problems, untracked_problems
from distributions import Distributions

TEXT = "# Changelog\n\n## [1.2.3] - 2026-11-28\n\n- A line.\n\n## [1.2.2] - 2026-11-01\n\n- Another.\n"


def test_a_tag_of_this_version_is_right() -> None:
    assert tag_problems("v1.2.3", "1.2.3") == []


@pytest.mark.parametrize(
    ("tag", "problem"),
    [
        ("1.2.3", "tag 1.2.3: expected the form vX.Y.Z"),
        ("v1.2", "tag v1.2: expected the form vX.Y.Z"),
        ("v1.2.3rc1", "tag v1.2.3rc1: expected the form vX.Y.Z"),
        ("v1.2.4", "tag v1.2.4: the package says 1.2.3; tag v1.2.3, or change src/trueward/__init__.py"),
    ],
)
def test_any_other_is_not(tag: str, problem: str) -> None:
    assert tag_problems(tag, "1.2.3") == [problem]


def test_a_dated_section_at_the_top_is_right() -> None:
    assert changelog_problems(TEXT, "1.2.3") == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (TEXT.replace("1.2.3", "1.2.4"), "no section for 1.2.3; write `## [1.2.3] - YYYY-MM-DD`"),
        (TEXT.replace("1.2.3", "1.3.0").replace("1.2.2", "1.2.3"), "the top section is 1.3.0, expected 1.2.3"),
        (
            TEXT.replace("2026-11-28", "Unreleased"),
            "1.2.3 has 'Unreleased' for a date; write `## [1.2.3] - YYYY-MM-DD`",
        ),
        (TEXT.replace(" - 2026-11-28", ""), "1.2.3 has 'nothing' for a date; write `## [1.2.3] - YYYY-MM-DD`"),
        (TEXT.replace("- A line.\n", ""), "the section 1.2.3 is empty"),
        ("", "no section for 1.2.3; write `## [1.2.3] - YYYY-MM-DD`"),
    ],
)
def test_anything_else_is_one_line(text: str, problem: str) -> None:
    assert changelog_problems(text, "1.2.3") == [f"CHANGELOG.md: {problem}"]


def test_the_version_is_read_from_its_line(tmp_path: Path) -> None:
    file = tmp_path / check_release.VERSION_FILE
    file.parent.mkdir(parents=True)
    file.write_text('"""A package."""\n\n__version__ = "1.2.3"\n', encoding="utf-8")
    assert check_release.package_version(tmp_path) == "1.2.3"
    file.write_text("from elsewhere import __version__\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"__init__\.py: expected one line"):
        check_release.package_version(tmp_path)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository of one commit with one file of the package."""
    (tmp_path / "src/trueward").mkdir(parents=True)
    (tmp_path / "src/trueward/seeds.py").write_text("", encoding="utf-8")
    who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    for command in (
        ["init", "-q"],
        ["add", "."],
        [*who, "commit", "-q", "-m", "One"],
        ["tag", "v1.2.3"],
        ["tag", "other"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_tags_and_files_come_from_git(repository: Path) -> None:
    (repository / "notes").write_text("", encoding="utf-8")
    assert check_release.tags_at_head(repository) == ["v1.2.3"]
    assert check_release.tracked(repository) == {"src/trueward/seeds.py"}


def test_what_git_does_not_hold_is_not_released(written: Callable[[list[str], list[str]], Distributions]) -> None:
    known = {"README.md", "src/trueward/seeds.py", "src/trueward/records.py"}
    built = written(["PKG-INFO", "README.md", "notes"], ["trueward/seeds.py", "trueward/mine.py"])
    assert untracked_problems(built, known) == [
        "trueward-1.2.3.tar.gz: notes is not in git",
        "trueward-1.2.3-py3-none-any.whl: trueward/mine.py is not in git",
        "trueward-1.2.3-py3-none-any.whl: lacks trueward/records.py",
    ]


def test_the_files_bear_the_version() -> None:
    built = Distributions(Path("trueward-1.2.3.tar.gz"), Path("trueward-1.2.3-py3-none-any.whl"))
    assert name_problems(built, "1.2.3") == []
    assert name_problems(built, "1.2.4") == [
        "trueward-1.2.3.tar.gz: expected trueward-1.2.4.tar.gz",
        "trueward-1.2.3-py3-none-any.whl: expected trueward-1.2.4-py3-none-any.whl",
    ]
