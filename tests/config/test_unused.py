"""Settings that nothing reads: the list is held against what the algorithms read, and each is named once."""

from __future__ import annotations

import ast
import inspect
import textwrap
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from trueward import config
from trueward.algorithms import dpo, grpo, online_dpo, ppo
from trueward.config import BestOfNConfig, CriticConfig, DpoConfig, GroupConfig, PolicyConfig, RelabelConfig
from trueward.config.unused import ALL, IDLE, READERS
from trueward.pipeline import final_evaluation, optimisation, value_network
from trueward.training import policy_loss, preference_step

SECTIONS = {
    "critic": CriticConfig,
    "group": GroupConfig,
    "dpo": DpoConfig,
    "best_of_n": BestOfNConfig,
    "relabel": RelabelConfig,
}
SETTINGS = [f for f in PolicyConfig.model_fields if f not in SECTIONS] + [
    f"{s}.{f}" for s, section in SECTIONS.items() for f in section.model_fields
]
CAP: tuple[Any, dict[str, str]] = (policy_loss.importance_cap, {})
SOURCES: dict[str, list[tuple[Any, dict[str, str]]]] = {  # what a kind runs, and what its names hold
    "ppo": [(ppo, {"settings": "critic"}), (policy_loss.ppo_loss, {}), (value_network, {"config": "critic"}), CAP],
    "grpo": [(grpo, {"group": "group"}), (policy_loss.group_loss, {"group": "group"}), CAP],
    "rloo": [(grpo, {"group": "group"}), (policy_loss.group_loss, {"group": "group"}), CAP],
    "dpo": [(dpo, {}), (online_dpo, {}), (preference_step, {"dpo": "dpo"})],
    "best_of_n": [(final_evaluation, {})],
    "sft_on_best": [(optimisation.Optimisation.distil_best_of_n, {})],
}
ELSEWHERE = {  # read by the pipeline, whatever the algorithm: what chooses the code, and what goes around it
    "kind",
    "loss",
    "options",
    "group.preset",
    "dpo.online",
    "relabel.every",
    "relabel.comparisons",
}


def read_in(source: Any, names: dict[str, str]) -> Iterator[str]:
    """Settings of [policy] that a piece of source reads: config.X, config.SECTION.X, and X of a name that holds a section."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(source)))):
        if not isinstance(node, ast.Attribute):
            continue
        value = node.value
        if isinstance(value, ast.Name):
            section = names.get(value.id, "" if value.id == "config" else None)
        elif isinstance(value, ast.Attribute) and isinstance(value.value, ast.Name) and value.value.id == "config":
            section = value.attr
        else:
            continue
        if section is not None and (name := f"{section}.{node.attr}".lstrip(".")) in SETTINGS:
            yield name


@pytest.mark.parametrize("kind", ALL)
def test_the_list_is_what_the_algorithms_read(kind: str) -> None:
    read = {name for source, names in SOURCES[kind] for name in read_in(source, names)}
    listed = {name for name, readers in READERS.items() if kind in readers}
    assert read - ELSEWHERE == listed - ELSEWHERE


def test_every_setting_has_its_readers() -> None:
    assert set(READERS) == set(SETTINGS)
    assert set(ALL) == set(config.KINDS)
    assert all(set(kinds) <= set(READERS[name]) for name, (kinds, _, _) in IDLE.items())


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("name", SETTINGS)
def test_each_setting_is_named_exactly_where_nothing_reads_it(kind: str, name: str) -> None:
    recipe = config.read("tiny", [f"policy.kind={kind}"])
    lines = config.unused(recipe, [f"policy.{name}", f"policy.{name}"])
    kinds, is_idle, _ = IDLE.get(name, ((), lambda p: False, ""))
    assert len(lines) == (kind not in READERS[name] or (kind in kinds and is_idle(recipe.policy)))
    assert all(line.startswith(f"policy.{name} does nothing here: ") for line in lines)


CASES = [
    (["policy.group.clip_high=0.28"], ["policy.group.clip_high"]),
    (["policy.kind=dpo", "policy.ptx_coef=0.1", "policy.epochs=3"], ["policy.ptx_coef", "policy.epochs"]),
    (["policy.kind=dpo", "policy.dpo.loss=ipo", "policy.dpo.label_smoothing=0.1"], ["policy.dpo.label_smoothing"]),
    (["policy.kind=dpo", "policy.dpo.loss=robust", "policy.dpo.label_smoothing=0.1"], []),
    (["policy.kind=grpo", "policy.gae_lambda=0.9"], ["policy.gae_lambda"]),
    (["policy.kind=grpo", "policy.gae_lambda=0.95"], ["policy.gae_lambda"]),  # the default, but somebody typed it
    (["policy.kind=dpo"], []),  # what the recipe has for ppo is no one's mistake
    (["policy.kind=best_of_n", "sampler.engine.sync_every=2"], ["sampler.engine.sync_every"]),
    (["lora.alpha=8"], ["lora.alpha"]),
    (["lora.rank=4", "lora.alpha=8"], []),
    (["policy.critic.coef=0.2"], ["policy.critic.coef"]),
    (["policy.critic.coef=0.2", "policy.critic.trunk=shared"], []),
    (["policy.relabel.comparisons=10"], ["policy.relabel.comparisons"]),
]


@pytest.mark.parametrize(("changes", "names"), CASES)
def test_what_was_typed_is_named(changes: list[str], names: list[str]) -> None:
    recipe = config.read("tiny", changes)
    assert {line.partition(" ")[0] for line in config.unused(recipe, config.set_keys(recipe))} == set(names)


@pytest.mark.parametrize("name", sorted(config.shipped()))
def test_shipped_recipes_have_nothing_to_say_as_written_or_resolved(name: str) -> None:
    recipe = config.read(name)
    assert config.notes(recipe) == []
    assert config.notes(config.Recipe.model_validate(tomllib.loads(recipe.toml()))) == []


def test_a_loss_of_the_users_takes_settings_with_it() -> None:
    recipe = config.read("tiny", ["policy.loss=my:loss", "policy.clip=0.1", "policy.learning_rate=0.1"])
    assert config.notes(recipe) == [
        'policy.clip does nothing here: policy.loss = "my:loss" takes the place of the loss that it belongs to'
    ]
    own = config.read("tiny", ["policy.kind=my:ALGORITHM", "policy.clip=0.1", "policy.options={a=1}"])
    assert config.notes(own) == [], "what it reads is the user's to know"
