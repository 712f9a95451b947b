"""docs/rewards.md names every verifier with all of its options and their defaults, and no others."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.scorers.sandbox import run
from trueward.scorers.verifiers.catalogue import VERIFIERS

PAGE = (Path(__file__).parents[2] / "docs/rewards.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## `?([\w ]+?)`?\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def rows(section: str) -> dict[str, str]:
    found = re.findall(r"^\| `(\w+)` \| (.*?) \|", SECTIONS[section], re.MULTILINE)
    return {name: default.strip("`") for name, default in found}


def defaults(kind: Any) -> dict[str, Any]:
    return {
        name: "needed" if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in kind.model_fields.items()
    }


@pytest.mark.parametrize("name", VERIFIERS)
def test_options(name: str) -> None:
    written, real = rows(name), defaults(VERIFIERS[name].options_type)
    assert list(written) == list(real)
    for option, default in real.items():
        if default is None or default == "needed":
            assert written[option] == ("not set" if default is None else "needed")
        else:
            shown = tomllib.loads(f"value = {written[option]}")["value"]
            assert shown == (list(default) if isinstance(default, tuple) else default), option


def test_parts_of_a_mixture() -> None:
    assert set(rows("Mixtures")) == set(config.RewardPartConfig.model_fields)


def test_no_verifier_is_described_that_does_not_exist() -> None:
    headed = re.findall(r"^## `(\w+)`$", PAGE, re.MULTILINE)
    assert headed == list(VERIFIERS)


def test_the_sentence_for_running_unconfined() -> None:
    assert f'unconfined = "{run.ACCEPT}"' in PAGE
