"""CHANGELOG.md and the files that go with a release say what the code says."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import yaml

import check_release
import check_wheel
from trueward import __version__
from trueward.artifacts import FORMAT
from trueward.config import Recipe
from trueward.config.renamed import RENAMED

ROOT = Path(__file__).parents[2]
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def table(heading: str) -> dict[str, str]:
    """The rows of the first table under a heading: first cell to second, both without their backticks."""
    section = re.split(r"^#+ ", CHANGELOG.split(f"### {heading}\n")[1], flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `([^`]+)` \| `([^`]+)` \|$", section, re.MULTILINE))


def test_the_table_of_renamed_settings_is_the_codes() -> None:
    assert list(table("Renamed settings").items()) == list(RENAMED.items())


def test_the_format_that_it_speaks_of_is_the_codes() -> None:
    stated = set(re.findall(r"\*\*format (\d+)\*\*", CHANGELOG))
    assert stated == {str(FORMAT)}
    assert get_args(Recipe.model_fields["format"].annotation) == (FORMAT,)


def test_the_top_section_is_of_this_version_with_a_date_or_unreleased() -> None:
    top, *older = check_release.headings(CHANGELOG)
    assert top.version == __version__
    assert re.fullmatch(r"Unreleased|\d{4}-\d{2}-\d{2}", top.date)
    assert all(re.fullmatch(r"\d{4}-\d{2}-\d{2}", heading.date) for heading in older)


def test_the_version_stands_in_one_place() -> None:
    assert "version" not in PROJECT["project"]
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["hatch"]["version"]["path"] == check_release.VERSION_FILE.as_posix()
    assert check_release.package_version(ROOT) == __version__
    assert "version" not in yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_the_pythons_are_those_that_the_package_takes() -> None:
    versions = check_wheel.supported(ROOT)
    assert versions == ["3.11", "3.12", "3.13"]
    assert PROJECT["project"]["requires-python"] == f">={versions[0]}"


def test_the_citation_says_what_the_package_says() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["authors"] == PROJECT["project"]["authors"]
    assert citation["license"] == PROJECT["project"]["license"]
