"""Hooks, templates and CONTRIBUTING.md name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FORMS = sorted(p for p in (ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml") if p.name != "config.yml")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_hooks_are_what_make_check_runs() -> None:
    check = re.search(r"^check:.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
    assert check
    ours = re.findall(r"\$\(BIN\)/([\w-]+(?: (?:format|check))?)", check[1])
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    entries = [hook["entry"].removeprefix(".venv/bin/").replace(" --force-exclude", "") for hook in repository["hooks"]]
    assert entries == ours
    assert all(hook["language"] == "system" for hook in repository["hooks"])


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_is_one_that_github_takes(path: Path) -> None:
    form = read(path)
    assert form["name"]
    assert form["description"]
    assert form["labels"]
    assert len({part["id"] for part in form["body"]}) == len(form["body"])
    for part in form["body"]:
        assert part["type"] in ("textarea", "input", "checkboxes", "dropdown", "markdown")
        assert part["attributes"]["label"]
        assert isinstance(part.get("validations", {}).get("required", False), bool)
        assert all(option["label"] for option in part["attributes"].get("options", ()))
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_there_are_forms_for_a_bug_a_feature_and_a_question() -> None:
    assert [path.stem for path in FORMS] == ["bug", "feature", "question"]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", ".github/pull_request_template.md"])
def test_every_target_that_is_named_is_there(name: str) -> None:
    named = re.findall(r"`make ([\w-]+)", (ROOT / name).read_text(encoding="utf-8"))
    assert named
    assert {target for target in named if f"\n{target}:" not in MAKEFILE} == set()


def test_every_target_is_explained_in_the_makefile() -> None:
    targets = set(re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[1].split())  # type: ignore[index]
    explained = set(re.findall(r"^# make ([\w-]+) ", MAKEFILE, re.MULTILINE))
    assert targets - explained == {"clean", "browser", "postgresql"}
