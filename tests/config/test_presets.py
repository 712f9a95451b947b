"""policy.group.preset: the published settings, what counts more than they do, and what is said where they are left."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.config import GroupConfig, PolicyConfig, Recipe, presets
from trueward.config.unused import differences

PUBLISHED = {  # clip, upper clip, SD, reducer, ratio, β, dropped, overlong tokens of 40
    "grpo": (0.2, None, "population", "sequence", "token", 0.04, False, 0),
    "dr_grpo": (0.2, None, "none", "constant", "token", 0.0, False, 0),
    "dapo": (0.2, 0.28, "population", "token", "token", 0.0, True, 8),
    "gspo": (3e-4, 4e-4, "population", "sequence", "sequence", 0.0, False, 0),
    "cispo": (0.2, 4.0, "population", "token", "weight", 0.0, True, 8),
}


def read(preset: str, *changes: str, recipe: str = "tiny") -> Recipe:
    first = ["policy.kind=grpo", "sampler.max_new_tokens=40", f"policy.group.preset={preset}"]
    return config.read(recipe, [*first, *changes])


@pytest.mark.parametrize(("preset", "expected"), PUBLISHED.items())
def test_a_preset_gives_the_published_settings(preset: str, expected: tuple[Any, ...]) -> None:
    recipe = read(preset)
    policy, group = recipe.policy, recipe.policy.group
    assert expected == (
        *(policy.clip, group.clip_high, group.std, group.reducer, group.ratio, policy.kl_coef),
        *(group.drop_equal_groups, group.overlong_tokens),
    )
    assert differences(recipe) == []
    assert config.notes(recipe) == []
    assert Recipe.model_validate(tomllib.loads(recipe.toml())) == recipe


def test_every_preset_is_published_and_every_setting_of_one_exists() -> None:
    names = GroupConfig.model_json_schema()["properties"]["preset"]["enum"]
    assert set(names) - {""} == set(presets.PRESETS) == set(PUBLISHED)
    for preset, settings in presets.PRESETS.items():
        for name in settings:
            section, _, key = name.rpartition(".")
            assert key in (GroupConfig if section else PolicyConfig).model_fields, (preset, name)


def test_what_is_set_counts_more_than_a_preset_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[policy]\nkind = "grpo"\nclip = 0.1\n[policy.group]\npreset = "dapo"\nstd = "none"\n')
    recipe = config.read(str(path))
    assert (recipe.policy.clip, recipe.policy.group.std, recipe.policy.group.clip_high) == (0.1, "none", 0.28)
    for changes in (["policy.clip=0.3", "policy.group.preset=gspo"], ["policy.group.preset=gspo", "policy.clip=0.3"]):
        policy = config.read("tiny", ["policy.kind=grpo", *changes]).policy
        assert (policy.clip, policy.group.clip_high) == (0.3, 4e-4)


def test_a_preset_on_top_of_a_recipe_counts_more_than_the_recipe() -> None:
    assert config.read("tiny").policy.kl_coef != 0
    assert read("dapo").policy.kl_coef == 0.0
    assert read("dapo", "policy.kl_coef=0.2").policy.kl_coef == 0.2
    assert read("", "policy.kl_coef=0.2", recipe="constraints").policy.group == GroupConfig()


def test_sections_that_were_checked_before_follow_it_too() -> None:
    policy = PolicyConfig(kind="grpo", group=GroupConfig(preset="gspo", size=4))
    assert (policy.clip, policy.group.clip_high, policy.group.size) == (3e-4, 4e-4, 4)
    assert Recipe(policy=PolicyConfig(kind="grpo", group=GroupConfig(preset="dapo"))).policy.group.overlong_tokens == 9


def test_what_departs_from_a_preset_is_named() -> None:
    (note,) = config.notes(read("gspo", "policy.clip=0.2", "policy.group.clip_high=4e-4"))[:1]
    assert note.startswith('policy.clip is 0.2, where policy.group.preset = "gspo" has 0.0003: ')


def test_a_clip_that_never_binds_is_named() -> None:
    (note,) = config.notes(config.read("tiny", ["policy.kind=grpo", "policy.group.ratio=sequence"]))
    assert note.startswith("policy.clip = 0.2 hardly ever binds")


@pytest.mark.parametrize("kind", ["ppo", "rloo", "dpo"])
def test_a_preset_of_another_kind_is_refused(kind: str) -> None:
    with pytest.raises(
        ValueError, match=rf'^tiny: policy: group\.preset = "dapo" is an .* of kind = "grpo", not of {kind}'
    ):
        config.read("tiny", [f"policy.kind={kind}", "policy.group.preset=dapo"])


def test_an_unknown_preset_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match=r"^tiny: policy\.group\.preset: [^\n]+$"):
        config.read("tiny", ["policy.kind=grpo", "policy.group.preset=vapo"])
