"""Names of settings that trueward 0.1 had, and names that are reserved: each is answered in one line that helps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.config import Recipe, Section
from trueward.config.renamed import RENAMED, RESERVED, explain_other_name

Command = Callable[..., tuple[int, str, str]]


def names(section: Any = Recipe, prefix: str = "") -> Iterator[str]:
    """Every section and setting of a recipe, by its dotted name."""
    for name, field in section.model_fields.items():
        yield prefix + name
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            yield from names(field.annotation, f"{prefix}{name}.")


def file_with(tmp_path: Path, name: str) -> str:
    """A recipe file that sets this name."""
    path = tmp_path / "mine.toml"
    section, _, key = name.rpartition(".")
    path.write_text((f"[{section}]\n" if section else "") + f"{key} = 3\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_an_old_name_is_answered_with_the_new_one(tmp_path: Path, old: str, new: str) -> None:
    path = file_with(tmp_path, old)
    for recipe, overrides, where in ((path, [], path), ("tiny", [f"{old}=3"], "tiny")):
        with pytest.raises(ValueError, match="renamed") as caught:
            config.read(recipe, overrides)
        assert str(caught.value) == f"{where}: {old}: renamed to {new}"


@pytest.mark.parametrize(("name", "purpose"), RESERVED.items())
def test_a_reserved_name_is_refused_with_what_it_is_kept_for(tmp_path: Path, name: str, purpose: str) -> None:
    path = file_with(tmp_path, name)
    for recipe, overrides, where in ((path, [], path), ("tiny", [f"{name}=3"], "tiny")):
        with pytest.raises(ValueError, match="kept for") as caught:
            config.read(recipe, overrides)
        assert str(caught.value) == f"{where}: {name}: not a setting of this version; the name is kept for {purpose}"


def test_a_reserved_section_is_refused_whatever_is_in_it() -> None:
    with pytest.raises(ValueError, match=r"^tiny: reference: not a setting of this version; [^\n]+$"):
        config.read("tiny", ["reference.model=somewhere"])


def test_new_names_exist_and_old_and_reserved_ones_do_not() -> None:
    known = set(names())
    assert set(RENAMED.values()) <= known
    assert not known & RENAMED.keys()
    assert not known & RESERVED.keys()
    assert not RENAMED.keys() & RESERVED.keys()


def test_a_name_that_nobody_knows_is_still_answered_with_the_nearest() -> None:
    assert explain_other_name("policy.kl_coeff") == ""
    with pytest.raises(ValueError, match=r"^tiny: unknown key policy\.kl_coeff; did you mean kl_coef\?$"):
        config.read("tiny", ["policy.kl_coeff=1"])


@pytest.mark.parametrize("name", ["sampler.rows", "reference"])
def test_the_command_line_says_it_in_one_line(command: Command, tmp_path: Path, name: str) -> None:
    code, out, err = command("run", "tiny", "--set", f"{name}=3")
    assert (code, out, err) == (2, "", f"trueward: tiny: {explain_other_name(name)}\n")
    assert list(tmp_path.iterdir()) == []
