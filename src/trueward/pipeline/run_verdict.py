"""The verdict of a run: at each look, where a peak that seems lost is measured again, and after the final evaluation."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trueward.artifacts import Artifact
from trueward.config import Recipe
from trueward.evaluation import verdict, verdict_monitor
from trueward.evaluation.evaluator import Evaluator
from trueward.evaluation.verdict_monitor import fall
from trueward.models.network import Network
from trueward.pipeline.env import Env
from trueward.pipeline.eval_setup import held_out_prompts
from trueward.training.driver import EvalVerdict, read_log

Row = Mapping[str, Any]


class RunMonitor:
    """Judges a run at each look, and says when `evaluation.stop_when` wants it to end."""

    def __init__(
        self, env: Env, prepared: Artifact, gauge: Evaluator, policy: Network, directory: Path, examined: Row
    ) -> None:
        schedule, self.directory = env.recipe.evaluation, directory
        self.stops = schedule.stop_when == "truth falls"
        prompts = held_out_prompts(env, prepared)
        best, least = self.best(env), schedule.least_fall
        self.judge = verdict_monitor.VerdictMonitor(
            gauge, policy, best, prompts, schedule.step_prompts, examined, least
        )

    def best(self, env: Env) -> Callable[[], Network]:
        return lambda: env.policy(self.directory / "best")

    def __call__(self, evaluations: list[dict[str, Any]]) -> EvalVerdict:
        row, decided = self.judge(evaluations, ratio_first(self.directory))
        stops = self.stops and decided.word in verdict.ALARMS
        return EvalVerdict(row, decided.word, f"{decided.word}: {decided.rule}" if stops else "")


def ratio_first(directory: Path) -> float | None:
    """`val/ratio_first` of a loop's first step, where it has one."""
    path = directory / "metrics.jsonl"
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        row = json.loads(file.readline() or "{}")
    value: float | None = row.get("val/ratio_first")
    return value


def final_fall(
    recipe: Recipe, policy: Artifact, rows: Mapping[str, Row], samples: Mapping[str, Sequence[Row]]
) -> Row | None:
    """The last policy against the best checkpoint on the final evaluation's answers, fresh for both."""
    best_step, truth = policy.summary["best_step"], rows["policy"]["truth"]
    if "best" not in samples or truth is None or best_step in (None, policy.summary["steps"]):
        return None
    peak, now = (np.array([s["truth"] for s in samples[name]], dtype=np.float64) for name in ("best", "policy"))
    evaluations = read_log(policy.path / "evaluations.jsonl")
    least = verdict.least_drop(evaluations, best_step, recipe.evaluation.least_fall)
    return fall(recipe.seed, best_step, peak, now, verdict.tests_made(evaluations) + 1, "evaluation", least=least)


def run_verdict(
    policy: Artifact, reward: Artifact, evaluation: Artifact, control: Artifact | None = None
) -> verdict.RunVerdict:
    """The verdict of the whole run: on all looks, with the final evaluation as the last one."""
    rows, steps = evaluation.summary["policies"], max(1, policy.summary["steps"])
    history = read_log(policy.path / "evaluations.jsonl") or [{**rows["sft"], "step": 0}]
    now = {**rows["policy"], "step": steps, "final": True, "fall": evaluation.summary["fall"]}
    return verdict.decide(
        [*history, now],
        examined=reward.summary,
        ratio_first=ratio_first(policy.path),
        control=control.summary if control else None,
    )


def wants_control(env: Env, decided: verdict.RunVerdict) -> bool:
    """Whether to ask how far a random reward goes: only of a run whose truth did not move, and that trained at all."""
    recipe = env.recipe
    asked = recipe.evaluation.control == "unmoved" and recipe.policy.kind != "best_of_n"
    return asked and decided.rule == verdict.UNMOVED
