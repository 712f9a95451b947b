"""The recipe: what is read, what is refused and in which words, and what comes out again."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from trueward import config
from trueward.config import Recipe


@pytest.mark.parametrize("name", sorted(config.shipped()))
def test_shipped_recipes_round_trip(name: str, tmp_path: Path) -> None:
    recipe = config.read(name)
    assert recipe.name == name
    assert recipe.description
    path = tmp_path / "recipe.toml"
    path.write_text(recipe.toml(), encoding="utf-8")
    assert config.read(str(path)) == recipe
    assert Recipe.model_validate(recipe.table()) == recipe


def test_shipped() -> None:
    assert " ".join(sorted(config.shipped())) == (
        "arithmetic best-of-n cluster constraints direct instruct loose-verifier nano principle reviews smollm2 tiny"
    )


def test_defaults_are_the_design() -> None:
    policy = Recipe().policy
    assert (policy.kl_coef, policy.epochs, policy.minibatches, policy.clip) == (0.1, 2, 4, 0.2)
    assert (policy.gae_lambda, policy.missing_eos_penalty, policy.target_kl) == (0.95, 1.0, None)


def test_a_file_is_a_difference_from_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[policy]\nkl_coef = 0.3\n")
    recipe = config.read(str(path), ["policy.steps=7", "seed=3"])
    assert recipe == Recipe(name="mine", seed=3, policy=config.PolicyConfig(kl_coef=0.3, steps=7))


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Recipe().seed = 1  # type: ignore[misc]  # what it must refuse


@pytest.mark.parametrize(
    ("override", "section", "field", "expected"),
    [
        ("policy.kl_coef=0.5", "policy", "kl_coef", 0.5),
        (" policy.kl_coef = 0.5", "policy", "kl_coef", 0.5),
        ("policy.decay=false", "policy", "decay", False),
        ("policy.target_kl=6", "policy", "target_kl", 6.0),
        ('evaluation.truths=["a", "b"]', "evaluation", "truths", ("a", "b")),
        ("evaluation.truths=[]", "evaluation", "truths", ()),
        ("data.prompts=my prompts.jsonl", "data", "prompts", "my prompts.jsonl"),
        ('data.prompts="a=b.jsonl"', "data", "prompts", "a=b.jsonl"),
        ("data.prompts=a=b.jsonl", "data", "prompts", "a=b.jsonl"),
        ("data.prompts=", "data", "prompts", ""),
    ],
)
def test_override(override: str, section: str, field: str, expected: Any) -> None:
    assert getattr(getattr(config.read("reviews", [override]), section), field) == expected


def test_the_last_override_wins() -> None:
    assert config.read("tiny", ["seed=1", "seed=2"]).seed == 2


def numbers(section: Any = Recipe, prefix: str = "") -> list[str]:
    """Every setting that takes a number with a fraction."""
    found = []
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, config.Section):
            found += numbers(field.annotation, f"{prefix}{name}.")
        elif field.annotation in (float, float | None):
            found.append(prefix + name)
    return found


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("name", numbers())
def test_no_setting_takes_what_is_no_number(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^tiny: {name}: "):
        config.read("tiny", [f"{name}={value}"])


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ValueError, match=r"mine\.toml: not UTF-8 text \(byte 8\)$"):
        config.read(str(path))


@pytest.mark.parametrize("override", ["seed", "=1", "", "seed.x.y=1", "sft.epochs.more=1"])
def test_an_override_that_makes_no_sense(override: str) -> None:
    with pytest.raises(ValueError, match=r"^(--set|tiny: )[^\n]*$"):
        config.read("tiny", ["seed=1", "sft.epochs=1", override])


@pytest.mark.parametrize(
    "table",
    [
        {"data": {"demonstrations": ""}},
        {"data": {"demonstrations": ""}, "sft": {"model": "m"}},
        {"data": {"prompts": "comparisons"}},
        {"comparisons": {"source": "file"}},
        {"evaluation": {"truths": [""]}},
        {"evaluation": {"truths": "b"}},
        {"name": "../escape"},
        {"name": ""},
        {"runtime": {"device": "gpu"}},
        {"seed": -1},
        {"seed": 2**31},
        {"policy": 3},
        {"policy": {"dual_clip": 1}},
        {"policy": {"group": {"refill": 1}}},
        {"policy": {"importance_sampling_cap": 0.9}},
        {"sampler": {"engine": {"sync_every": 0}}},
        {"sampler": {"engine": {"quantize": "int4"}}},
        {"sampler": {"engine": {"quantize": "int8"}}},
        {"sampler": {"engine": {"quantize": "int8"}}, "policy": {"kind": "dpo", "importance_sampling_cap": 2}},
        {
            "policy": {"ptx_coef": 0.1},
            "data": {"demonstrations": "", "prompts": "p.jsonl"},
            "sft": {"model": "m"},
        },
        {"policy": {"kind": "grpo", "dual_clip": 3, "group": {"ratio": "weight"}}},
        {"policy": {"steps": 3, "critic": {"warmup_steps": 3}}},
        {"comparisons": {"agreement": 0.5}},
    ],
)
def test_refused_in_one_line(table: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^recipe: [^\n]+$") as caught:
        config.resolve(table, "recipe")
    assert not isinstance(caught.value, ValidationError)


def test_variants_never_leave_their_folder() -> None:
    assert config.variant("tiny", ["a/../../b=1"]) == "tiny,a_.._.._b=1"
    assert "/" not in config.variant("tiny", ["data.prompts=/etc/passwd"])
    assert len(config.variant("tiny", ["data.prompts=" + "x" * 500])) <= 120


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), VALUES))
def test_canonical_text_is_the_values_alone(value: dict[str, Any]) -> None:
    text = config.canonical(value)
    assert json.loads(text) == value
    assert config.canonical(dict(reversed(value.items()))) == text


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"])))
def test_whatever_is_set_is_read_or_refused(text: str) -> None:
    table: dict[str, Any] = {}
    with contextlib.suppress(ValueError):  # and nothing but ValueError
        config.put(table, text)
        config.resolve(table, "recipe")


def test_no_torch() -> None:
    script = "import sys, trueward.config, trueward.artifacts; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_toml_holds_every_setting_but_the_unset() -> None:
    table = tomllib.loads(Recipe().toml())
    assert "target_kl" not in table["policy"]
    assert set(table) == set(Recipe.model_fields)


def test_a_recipe_that_is_nested_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("a = " + "[" * 50_000, encoding="utf-8")
    for recipe, changes in ((str(path), []), ("tiny", ["policy.options=" + "[" * 50_000])):
        with pytest.raises(ValueError, match=r"nested too deep$"):
            config.read(recipe, changes)
