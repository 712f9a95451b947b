"""Settings that a recipe sets and no stage reads: which kind of policy reads which setting, and the notes on others."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from trueward.config import presets
from trueward.config.engine import OF_VLLM, is_unread
from trueward.config.guards import GUARD_FIELDS
from trueward.config.policy import KINDS, PolicyConfig
from trueward.config.ray import why_idle
from trueward.config.reading import shipped
from trueward.config.schema import Recipe
from trueward.config.section import Section

ENGINE = "sampler.engine."
RAY = "runtime.ray."
ONLINE = ("ppo", "grpo", "rloo")
GROUPS = ("grpo", "rloo")
LOOPS = (*ONLINE, "dpo")
ALL = KINDS
OF_OUR_LOSS = ("clip", "dual_clip", "group.ratio", "group.clip_high")  # settings that policy.loss replaces
CRITIC = ("trunk", "coef", "start", "warmup_steps", "gae_lambda", "adaptive_lambda")
GROUP = ("size", "std", "kl", "reducer", "ratio", "clip_high", "drop_equal_groups", "refill", "overlong_tokens")
DPO = ("learning_rate", "loss", "label_smoothing", "simpo_beta", "simpo_margin", "online", "labels")

READERS: dict[str, tuple[str, ...]] = {
    "kind": ALL,
    **dict.fromkeys(("steps", "batch_size", "kl_coef", "warmup", "decay", "max_grad_norm", "trainable_layers"), LOOPS),
    **dict.fromkeys(("learning_rate", "epochs", "minibatches", "clip", "dual_clip", "ptx_coef"), ONLINE),
    **dict.fromkeys(("importance_sampling_cap", "loss"), ONLINE),
    "options": (),
    **dict.fromkeys(("target_kl", "value_learning_rate", "value_clip", "discount", "gae_lambda"), ("ppo",)),
    "whiten_advantages": ("ppo",),
    "missing_eos_penalty": ALL,
    **dict.fromkeys((f"critic.{name}" for name in CRITIC), ("ppo",)),
    "group.preset": ("grpo",),
    **dict.fromkeys((f"group.{name}" for name in GROUP), GROUPS),
    **dict.fromkeys((f"dpo.{name}" for name in DPO), ("dpo",)),
    "best_of_n.n": ("best_of_n", "sft_on_best"),
    "best_of_n.prompts": ("sft_on_best",),
    **dict.fromkeys(("relabel.every", "relabel.comparisons"), LOOPS),
}
"""Every setting of [policy], and the kinds that read it."""

TRAINING = tuple(
    f"reward.{name}"
    for name in (
        "learning_rate", "head_learning_rate", "batch_size", "warmup", "weight_decay", "max_grad_norm", "trainable_layers",
    )
)  # fmt: skip
"""Settings of the reward model's training."""

Idle = tuple[tuple[str, ...], Callable[[PolicyConfig], bool], str]
IDLE: dict[str, Idle] = {
    "kl_coef": (("dpo",), lambda p: p.dpo.loss == "simpo", 'policy.dpo.loss = "simpo" has no reference policy'),
    "missing_eos_penalty": (("dpo",), lambda p: not p.dpo.online, "nothing is sampled without policy.dpo.online"),
    "clip": (
        GROUPS,
        lambda p: p.group.ratio == "weight" and p.group.clip_high is not None,
        "weights have an upper bound alone, policy.group.clip_high",
    ),
    "gae_lambda": (
        ("ppo",),
        lambda p: p.critic.gae_lambda is not None and p.critic.adaptive_lambda is not None,
        "policy.critic.gae_lambda and policy.critic.adaptive_lambda take its place",
    ),
    "critic.coef": (("ppo",), lambda p: p.critic.trunk == "own", 'it needs policy.critic.trunk = "shared"'),
    "critic.start": (("ppo",), lambda p: p.critic.trunk == "shared", 'policy.critic.trunk = "shared" starts from zero'),
    "dpo.label_smoothing": (
        ("dpo",),
        lambda p: p.dpo.loss not in ("sigmoid", "robust"),
        'it belongs to policy.dpo.loss = "sigmoid" and "robust"',
    ),
    "dpo.simpo_beta": (("dpo",), lambda p: p.dpo.loss != "simpo", 'it belongs to policy.dpo.loss = "simpo"'),
    "dpo.simpo_margin": (("dpo",), lambda p: p.dpo.loss != "simpo", 'it belongs to policy.dpo.loss = "simpo"'),
    "dpo.labels": (("dpo",), lambda p: not p.dpo.online, "it belongs to policy.dpo.online"),
    "relabel.comparisons": (LOOPS, lambda p: p.relabel.every == 0, "it needs policy.relabel.every above 0"),
}
"""Settings that a kind reads, but not always: the kinds, when they don't, and why."""


def unused(recipe: Recipe, keys: Iterable[str]) -> list[str]:
    """One line for each of these settings (dotted names) that nothing reads in this recipe."""
    reasons = {key: why_unused(recipe, key) for key in dict.fromkeys(keys)}
    return [f"{key} does nothing here: {why}" for key, why in reasons.items() if why]


def why_unused(recipe: Recipe, key: str) -> str:
    """Why nothing reads this setting; empty if something does, or it is no setting of the policy's."""
    policy, kind = recipe.policy, recipe.policy.kind
    if key.startswith("lora.") and key != "lora.rank" and recipe.lora.rank == 0:
        return "there are adapters with lora.rank above 0"
    if guarding := _why_no_guard(recipe, key):
        return guarding
    if key in TRAINING and recipe.reward.epochs == 0:
        return "reward.epochs = 0 trains nothing, the head in closed form is the reward model"
    if key.startswith(ENGINE) and is_unread(recipe.sampler.engine, key.removeprefix(ENGINE)):
        return OF_VLLM[key.removeprefix(ENGINE)]
    if key.startswith(RAY):
        return why_idle(key.removeprefix(RAY), recipe.runtime.ray, policy)
    if key == "sampler.engine.sync_every" and kind not in ONLINE:
        return f'policy.kind = "{kind}" doesn\'t read it ({_listed(ONLINE)} do)'
    if key == "reward.cross_check" and recipe.reward.kind != "reward_model":
        return f'reward.kind = "{recipe.reward.kind}" is fitted to no comparisons that could be split'
    if key == "reward.cross_check" and kind == "dpo" and not policy.dpo.online:
        return 'policy.kind = "dpo" learns from all comparisons itself, so none are left for a second reward model'
    if judging := _why_no_judging(recipe, key):
        return judging
    name = key.removeprefix("policy.")
    if name == key or name not in READERS or policy.is_own:  # what an algorithm of the user's reads, the user knows
        return ""
    readers = READERS[name]
    if not readers:
        return 'it belongs to an algorithm of your own, policy.kind = "module:NAME"'
    if kind not in readers:
        return f'policy.kind = "{kind}" doesn\'t read it ({_listed(readers)} {"does" if len(readers) == 1 else "do"})'
    if policy.loss and name in OF_OUR_LOSS:
        return f'policy.loss = "{policy.loss}" takes the place of the loss that it belongs to'
    kinds, is_idle, why = IDLE.get(name, ((), lambda p: False, ""))
    return why if kind in kinds and is_idle(policy) else ""


def _why_no_judging(recipe: Recipe, key: str) -> str:
    """Why a setting of the judge that is the proxy does nothing."""
    reward = recipe.reward
    if key == "reward.judge_mode" and reward.kind != "judge":
        mixed = reward.kind == "mix" and any(part.scorer == "judge" for part in reward.parts)
        return "a judge in a mixture rates answers" if mixed else f'reward.kind = "{reward.kind}" asks no judge'
    compares = reward.kind == "judge" and reward.judge_mode != "pointwise"
    if key in ("judge.rating", "judge.ratings") and compares and "judge" not in recipe.evaluation.truths:
        return f'reward.judge_mode = "{reward.judge_mode}" asks for no rating'
    return ""


def _why_no_guard(recipe: Recipe, key: str) -> str:
    """Why a setting of guards does nothing."""
    if key.removeprefix("evaluation.") not in GUARD_FIELDS:
        return ""
    if recipe.policy.kind == "best_of_n":
        return 'policy.kind = "best_of_n" trains nothing, so nothing can fall'
    return "" if recipe.evaluation.guards else "there are no evaluation.guards"


def set_keys(recipe: Recipe) -> list[str]:
    """The dotted names of what was set on top of the defaults: not what a shipped recipe of this name or a preset has set.

    A section in which everything is set was written by a program; there a default value does not count as set.
    """
    own = _shipped_settings(recipe.name)
    own |= {
        f"policy.{k}": v for k, v in presets.settings(recipe.policy.group.preset, recipe.sampler.max_new_tokens).items()
    }
    return [key for key, value in _set(recipe) if key not in own or own[key] != value]


def notes(recipe: Recipe) -> list[str]:
    """The lines printed once before training and in the report: settings that do nothing, and departures from a preset."""
    lines = unused(recipe, set_keys(recipe)) + differences(recipe)
    policy = recipe.policy
    if (
        recipe.comparisons.unfinished != "keep"
        and policy.missing_eos_penalty == 0
        and policy.group.overlong_tokens == 0
    ):
        lines.append(
            f'comparisons.unfinished = "{recipe.comparisons.unfinished}" teaches the reward model nothing of endings, and '
            "policy.missing_eos_penalty is 0: nothing sees to it that answers end"
        )
    if policy.kind in GROUPS and policy.group.ratio == "sequence" and policy.clip > 0.05:
        lines.append(
            f'policy.clip = {policy.clip:g} hardly ever binds with policy.group.ratio = "sequence", a mean over the answer; '
            'GSPO has 3e-4 and 4e-4 (policy.group.preset = "gspo")'
        )
    return lines


def differences(recipe: Recipe) -> list[str]:
    """The settings in which a recipe departs from its preset, one line for each."""
    policy, preset = recipe.policy, recipe.policy.group.preset
    found = []
    for name, expected in presets.settings(preset, recipe.sampler.max_new_tokens).items():
        section, _, key = name.rpartition(".")
        value = getattr(policy.group if section else policy, key)
        if value != expected:
            found.append(
                f'policy.{name} is {value}, where {presets.KEY} = "{preset}" has {expected}: what the recipe sets counts, '
                "and the algorithm is a variant"
            )
    return found


def _set(section: Section, prefix: str = "") -> Iterator[tuple[str, Any]]:
    fields = type(section).model_fields
    written = [name for name in fields if name in section.model_fields_set]
    dumped = section.model_dump()  # without newer fields at their defaults
    is_resolved = all(name in written or name not in dumped or getattr(section, name) is None for name in fields)
    for name in written:
        value = getattr(section, name)
        if isinstance(value, Section):
            yield from _set(value, f"{prefix}{name}.")
        elif not is_resolved or value != fields[name].get_default(call_default_factory=True):
            yield prefix + name, value


@functools.cache
def _shipped_texts() -> dict[str, str]:
    return shipped()


def _shipped_settings(name: str) -> dict[str, Any]:
    """What the shipped recipe of this name, or that a run's name begins with, sets."""
    text = _shipped_texts().get(name.partition(",")[0])
    return dict(_set(Recipe.model_validate(tomllib.loads(text)))) if text else {}


def _listed(kinds: Iterable[str]) -> str:
    *first, last = kinds
    return f"{', '.join(first)} and {last}" if first else last
