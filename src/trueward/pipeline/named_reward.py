"""A reward by its name, outside a run: a function, a reward model, a judge, a verifier, or what a recipe or a run trains on."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from trueward import artifacts, config
from trueward.config import Recipe
from trueward.models.run_paths import is_model
from trueward.pipeline.relabel import refitted_proxy
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.scorers import custom, ensemble, own_file, reward_model, scorer_spec
from trueward.scorers.custom import FunctionScorer
from trueward.scorers.judge.judge_options import read_judge
from trueward.scorers.scorer import Scorer
from trueward.scorers.verifiers.catalogue import VERIFIERS
from trueward.training.env import Env

RECIPE, VERIFIER, JUDGE = "recipe:", "verifier:", "judge"
LENGTH, WHERE = "length", "reward test"
KNOWN = (
    "module:function, FILE.py:function, a reward model's directory, model:OWNER/NAME, RUN, RUN/reward_model, "
    "verifier:NAME,key=value, judge,model=NAME, or RECIPE.toml"
)


@dataclass(frozen=True)
class NamedReward:
    """A scorer, and the recipe and run that it was named by, if there is one."""

    name: str
    scorer: Scorer
    recipe: Recipe | None = None
    run: Path | None = None


def named_reward(text: str, env: Env) -> NamedReward:
    """The reward that a text names, with options as in `scorer_spec`. `ValueError` in one line if there is none."""
    if text.startswith(RECIPE) or (text.endswith(".toml") and not _names_scorer(Path(text))):
        return _of_recipe(text, config.read(text.removeprefix(RECIPE)), env)
    if own_file.is_in_file(text):
        return NamedReward(text, FunctionScorer(text, own_file.function_in(text)))
    for path in (Path(text), Path("runs") / text):  # a run may have commas in its name
        if (reward := _in_directory(text, path, env)) is not None:
            return reward
    spec = scorer_spec.parse(text, WHERE)
    name, where = spec.name, f"{WHERE} {text}"
    if name == JUDGE:
        missing_is_counted = {"max_failed": 1.0, **spec.options}
        judge, calls = read_judge(missing_is_counted, None, env.calls, where)
        return NamedReward(text, ScorerFactory(replace(env, calls=calls), judge=judge).judge_scorer(neutral=0.0))
    if name.removeprefix(VERIFIER) in VERIFIERS:
        spec = replace(spec, name=f"{VERIFIER}{name.removeprefix(VERIFIER)}")
    elif not (":" in name or name == LENGTH):
        raise ValueError(f"{where}: there is no such reward; expected {KNOWN}")
    custom.source(name)  # a module that was edited since it was imported is imported again
    return NamedReward(text, ScorerFactory(env).specified(spec, where))


def _names_scorer(path: Path) -> bool:
    """Whether a TOML file names a scorer with its options; otherwise it is a recipe."""
    try:
        return "scorer" in tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _of_recipe(name: str, recipe: Recipe, env: Env) -> NamedReward:
    if recipe.reward.kind == "reward_model":
        raise ValueError(
            f"{name}: its reward model has to be trained first (trueward reward-model); then give RUN/reward_model"
        )
    if recipe.reward.kind == "judge" and recipe.reward.judge_mode != "pointwise":
        raise ValueError(
            f"{name}: its judge sets answers beside the SFT policy's, so there is no score of one answer to test; "
            'give reward.judge_mode = "pointwise", or judge,model=NAME'
        )
    judge = recipe.judge.model_copy(update={"max_failed": 1.0})  # what is missing is counted here
    factory = ScorerFactory(
        replace(env, calls=recipe.runtime.judge), recipe.seed, recipe.reward, judge if judge.model else None
    )
    return NamedReward(name, factory.program(neutral=0.0), recipe)


def _in_directory(name: str, path: Path, env: Env) -> NamedReward | None:
    """A run's proxy, a stage's reward model or a model's directory; None if the path is none of them."""
    if artifacts.is_run(path) and (path / "recipe.toml").is_file():
        recipe = config.read(str(path / "recipe.toml"))
        if recipe.reward.kind != "reward_model":
            return NamedReward(name, _of_recipe(name, recipe, env).scorer, recipe, path)
        folder = path / "reward_model"
        if not is_model(folder / ensemble.MODEL):
            raise ValueError(f"{name}: this run has no reward model yet")
        return NamedReward(
            name,
            refitted_proxy(path / "policy", env) or ensemble.load(folder, env.device, dtype=env.dtype),
            recipe,
            path,
        )
    if is_model(path / ensemble.MODEL):
        run = path.parent if artifacts.is_run(path.parent) else None
        return NamedReward(name, ensemble.load(path, env.device, dtype=env.dtype), None, run)
    if is_model(path):
        return NamedReward(name, reward_model.load(path, env.device, dtype=env.dtype))
    return None
