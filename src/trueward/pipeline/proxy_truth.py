"""Whether a truth is the proxy itself: then nothing independent of the reward is measured, and a hack of it can't be seen."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trueward.config import JudgeConfig, Recipe
from trueward.config.evaluation_judge import PREFIX

ASKS = ("model", "endpoint", "principles")
"""What makes two judges one: the same model asked about the same principles, in whatever words and order."""
Identity = tuple[str, Any]


def truths_that_are_proxies(recipe: Recipe) -> list[str]:
    """The names of the truths that are the scorer that the policy is trained on."""
    proxy = _proxy(recipe)
    return [name for name in recipe.evaluation.measured if proxy is not None and _truth(recipe, name) == proxy]


def proxy_is_truth(recipe: Recipe) -> bool:
    """Whether the truth of the verdict, the first that is no people's, is the proxy."""
    first = next((name for name in recipe.evaluation.measured if not name.startswith("people:")), None)
    return first is not None and first in truths_that_are_proxies(recipe)


def is_refused(recipe: Recipe) -> bool:
    """Whether it is, and isn't said to be meant."""
    return not recipe.evaluation.proxy_is_truth and proxy_is_truth(recipe)


def refuse_proxy_as_truth(recipe: Recipe) -> None:
    """`ValueError` in one line if the truth is the proxy, unless `evaluation.proxy_is_truth` says that it's meant."""
    if not is_refused(recipe):
        return
    name = next(name for name in recipe.evaluation.measured if not name.startswith("people:"))
    raise ValueError(
        f"evaluation.truths: {name} is the reward itself, so a hack of it could not be seen; name another scorer first, or set "
        "evaluation.proxy_is_truth = true where it is the task"
    )


def note(recipe: Recipe) -> str:
    """A line for the start of a run and its report about truths that are the proxy; empty if there are none."""
    same = truths_that_are_proxies(recipe)
    if not same:
        return ""
    if proxy_is_truth(recipe):
        return f"proxy = truth: {same[0]} is optimised and measured, so the verdict can't tell a hack of it"
    return f"evaluation.truths: {', '.join(same)} is the proxy, and confirms nothing that the proxy doesn't say"


def _proxy(recipe: Recipe) -> Identity | None:
    """What identifies the proxy; None for one that no truth can be: a model fitted in this run, a sum of several scorers."""
    reward = recipe.reward
    if reward.kind == "reward_model":
        return _identity(recipe, f"model:{reward.model}", {}) if reward.model else None
    if reward.kind == "judge":
        return _identity(recipe, "judge", {})
    if reward.kind == "verifier":
        return _identity(recipe, reward.verifier, reward.options)
    if len(reward.parts) == 1 and reward.parts[0].weight > 0:
        return _identity(recipe, reward.parts[0].scorer, reward.parts[0].options)
    return None


def _truth(recipe: Recipe, name: str) -> Identity:
    """A verifier without options of its own has the proxy's if that is the same one (`ScorerFactory.truth`)."""
    if name.startswith(PREFIX):
        return "judge", judge_identity(next(j.settings() for j in recipe.evaluation.judge if j.truth == name))
    options = recipe.evaluation.options.get(name)
    reward = recipe.reward
    if options is None:
        options = reward.options if reward.kind == "verifier" and _bare(reward.verifier) == _bare(name) else {}
    if ":" not in name and name != "judge":
        return "utility", name
    return _identity(recipe, name, options)


def _identity(recipe: Recipe, name: str, options: Mapping[str, Any]) -> Identity:
    if name == "judge":
        return "judge", judge_identity(recipe.judge)
    if name.startswith("model:"):
        place = name.removeprefix("model:")
        return "model", os.path.realpath(place) if Path(place).exists() else place
    return _bare(name), repr(sorted(options.items()))


def judge_identity(judge: JudgeConfig) -> tuple[Any, ...]:
    """What two judges have in common that are one."""
    return tuple(getattr(judge, name) for name in ASKS)


def _bare(name: str) -> str:
    return name.removeprefix("verifier:")
