"""The lower stages of a finished run, as values, and what its policies are measured with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trueward import artifacts
from trueward.artifacts import Artifact
from trueward.config import Recipe
from trueward.pipeline.eval_setup import EvalSetup
from trueward.pipeline.prepare import PREPARE
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.pipeline.sft import SFT
from trueward.pipeline.stage import Stage
from trueward.training.env import Env


def stage(run: Path, kind: Stage[Any], env: Env) -> Any:
    """The result of a finished stage of the run. `ValueError` if it isn't there."""
    artifact: Artifact | None = artifacts.load(run / kind.name)
    if artifact is None:
        raise ValueError(f"{run / kind.name}: this stage of the run isn't finished")
    return kind.read(artifact, env)


def eval_setup(run: Path, recipe: Recipe, env: Env) -> EvalSetup:
    factory = ScorerFactory(env, recipe.seed, recipe.reward, None, recipe.evaluation.options)
    prepared, sft = stage(run, PREPARE, env), stage(run, SFT, env)
    return EvalSetup(prepared, sft, factory, recipe.sampler, recipe.evaluation.truths, recipe.seed)
