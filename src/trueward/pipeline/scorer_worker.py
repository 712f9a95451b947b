"""A scorer: a process that holds a run's reward, and scores rollouts for the training processes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from trueward.config import Recipe
from trueward.pipeline import sources
from trueward.pipeline.eval_setup import EvalSetup
from trueward.pipeline.following_cache import FollowingCache
from trueward.pipeline.graph import graph
from trueward.pipeline.parts import Parts, custom_files
from trueward.pipeline.process import process_settings
from trueward.pipeline.run import proxy_stage
from trueward.pipeline.sampler_worker import worker_recipe
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.pipeline.surroundings import run_env
from trueward.progress import Progress
from trueward.records import Completion
from trueward.scorers.scorer import Scorer
from trueward.training.env import Env


class ScorerWorker:
    """Scores by what a run is rewarded with, which it reads from the run's directory."""

    def __init__(self, run: str, threads: int) -> None:
        """run: the run's directory. threads: that it computes with, unless the recipe says so."""
        self.run, self.threads = Path(run), threads
        self.stack = ExitStack()
        self.scorer: Scorer | None = None

    def score(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The scores of these completions, in order, and this process's id; all as JSON."""
        if self.scorer is None:
            recipe = worker_recipe(self.run, self.threads)
            self.stack.enter_context(process_settings(recipe))
            self.scorer = finished_reward(recipe, self.run, run_env(recipe, Progress(), tracked=False))
        completions = [Completion.model_validate(row) for row in rows]
        scores = [score.model_dump(mode="json") for score in self.scorer(completions)]
        return {"process": os.getpid(), "scores": scores}


def finished_reward(recipe: Recipe, run: Path, env: Env) -> Scorer:
    """What the policy of a run is rewarded with, as the stage `policy` makes it, from the stages before it. `ValueError` where
    one of them isn't finished."""
    part, source = Parts(recipe), sources.read(recipe)
    custom_files([*part.own_scorers.values(), recipe.policy.kind, recipe.policy.loss])  # imports them
    made = {}
    for each in graph(recipe, source, FollowingCache(run, env)):
        made[each.name] = each
        if each.name == proxy_stage(recipe):
            break
    factory = ScorerFactory(env, recipe.seed, part.rewarding, part.judge, columns=source.columns)
    setup = EvalSetup(made["prepare"].value, made["sft"].value, factory, part.rollouts, (), recipe.seed)
    return setup.reward(setup.proxy(made[proxy_stage(recipe)].value))
