"""The user's own code that a recipe names: algorithm, policy loss and scorers. Checked before training."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from trueward.algorithms import grpo, online_dpo, ppo
from trueward.config import PolicyConfig, Recipe
from trueward.pipeline.parts import Parts
from trueward.scorers import custom
from trueward.training.policy_loss import CustomPolicyLoss
from trueward.training.setup import Algorithm

ONLINE: dict[str, Algorithm] = {"ppo": ppo, "grpo": grpo, "rloo": grpo, "dpo": online_dpo}
TAKES = {"steps": ("config", "setup"), "start": ("config", "setup"), "train": ("config", "setup", "state")}


def online_algorithm(config: PolicyConfig) -> Algorithm:
    """The loop that learns from its own samples: a built-in one, or the object that `policy.kind = "module:NAME"` names."""
    if not config.is_own:
        return ONLINE[config.kind]
    algorithm: Any = custom.function_of(config.kind, "an object with steps, start and train")
    for name, arguments in TAKES.items():
        function = getattr(algorithm, name, None)
        wanted = f"policy.kind = {config.kind}: expected an object with {name}({', '.join(arguments)})"
        if not callable(function):
            raise ValueError(f"{wanted}, and it has none")
        try:
            inspect.signature(function).bind(*arguments)
        except TypeError as error:
            raise ValueError(f"{wanted}: {error}") from None
    made: Algorithm = algorithm
    return made


def check_policy_code(config: PolicyConfig) -> None:
    """`ValueError` in one line if the recipe's own algorithm or loss is missing, or is not of the required form."""
    if config.is_own:
        online_algorithm(config)
    if config.loss:
        CustomPolicyLoss(config.loss).check()


def named_code(recipe: Recipe) -> dict[str, str]:
    """The own code that a recipe names, by setting: its name and file."""
    policy = recipe.policy
    names = {"policy.kind": policy.kind if policy.is_own else "", "policy.loss": policy.loss}
    own = {setting: name for setting, name in names.items() if name} | Parts(recipe).own_scorers
    own = {setting: name for setting, name in own.items() if not name.startswith("trueward.")}  # that code is ours
    return {setting: f"{name} ({_place(name)})" for setting, name in own.items()}


def _place(name: str) -> str:
    files = custom.source(name)
    return str(_short(files[0])) if files else "no file"


def _short(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
