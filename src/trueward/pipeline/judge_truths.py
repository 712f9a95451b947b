"""The judges of [[evaluation.judge]]: made from settings, their calls planned and counted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trueward.config import EvaluationConfig, EvaluationJudgeConfig, Recipe
from trueward.evaluation.truth import AnyTruth
from trueward.evaluation.truth_values import judge_of
from trueward.scorers.judge import llm_judge
from trueward.scorers.judge.call_limit import CallLimit
from trueward.scorers.judge.llm_judge import LlmJudge
from trueward.training.env import Env

Row = Mapping[str, Any]
SCALE_PROMPTS = 64
"""Prompts, two of SFT's answers each, that a judge rates to know the mean and SD of its ratings."""
STEP_ANSWERS, FINAL_ANSWERS = 2, 4
"""Answers of SFT's to each prompt that everything is measured against, at a step and at the end."""


@dataclass(frozen=True)
class PlannedCalls:
    """The most calls that a judge makes in a run: at all evaluations in training, at the final one, and to set its scale."""

    judge: EvaluationJudgeConfig
    evaluations: int
    step: int
    """Of one evaluation in training."""
    final: int
    once: int

    @property
    def all(self) -> int:
        """In all."""
        return self.evaluations * self.step + self.final + self.once

    def line(self, prompts: int) -> str:
        """The plan as it is said before the first call. prompts: of an evaluation in training."""
        judge, each = self.judge, max(1, self.step // max(1, prompts))
        one = {"pairwise": "orders", "pointwise": "ratings", "grouped": "orders"}[judge.mode]
        cap = f", of which {judge.cap:,} may be made" if judge.cap is not None and judge.cap < self.all else ""
        times = ", for each criterion of a prompt" if judge.rubric else ""
        return (
            f"judge {judge.name} ({judge.mode}, {judge.model}): {self.evaluations} evaluations × {prompts} prompts × "
            f"{each} {one} + {self.final + self.once:,} at the end and for its scale = {self.all:,} calls at most{times}{cap}"
        )


def plan_calls(recipe: Recipe, judge: EvaluationJudgeConfig) -> PlannedCalls:
    """The calls of a judge, if no two answers are alike and nothing is in the cache."""
    evaluation, asked = recipe.evaluation, asked_of(judge)
    trains = recipe.policy.kind != "best_of_n"
    evaluations = math.ceil(recipe.policy.steps / evaluation.every) if trains else 0
    step, final = evaluation.step_prompts * asked, evaluation.final_prompts * asked
    if judge.mode != "pointwise":
        return PlannedCalls(judge, evaluations, step, (3 if trains else 2) * final, 0)  # base, last and best
    theirs = STEP_ANSWERS * step * trains + 2 * SCALE_PROMPTS * asked
    return PlannedCalls(judge, evaluations, step, (3 + FINAL_ANSWERS) * final, theirs)


def plan_audit_calls(judge: EvaluationJudgeConfig, looks: int, step_prompts: int, final_prompts: int) -> PlannedCalls:
    """The calls of an audit of that many checkpoints, likewise; the last and the best are measured on `final_prompts` more."""
    asked = asked_of(judge)
    step, final = step_prompts * asked, final_prompts * asked
    if judge.mode != "pointwise":
        return PlannedCalls(judge, looks, step, 2 * final, 0)
    return PlannedCalls(judge, looks, step, (3 + FINAL_ANSWERS) * final, (1 + 2 * STEP_ANSWERS) * step)


def asked_of(judge: EvaluationJudgeConfig) -> int:
    """The calls for one answer."""
    return judge.orders * (len(judge.principles) if judge.draw == "all" else 1)


def call_lines(recipe: Recipe) -> list[str]:
    """What the judges will cost in calls, a line each, before the first one is made."""
    plans = [plan_calls(recipe, judge) for judge in recipe.evaluation.judge]
    lines = [plan.line(recipe.evaluation.step_prompts) for plan in plans]
    total, most = sum(plan.all for plan in plans), recipe.evaluation.judge_calls
    if most is not None and most < total:
        lines.append(
            f"evaluation.judge_calls = {most:,} is less than the {total:,} calls of all judges: answers that are over it are "
            "counted as missing; half of it, at most, is kept for the final evaluation"
        )
    if plans:
        cache = recipe.runtime.judge.cache
        lines.append(f"judges: what {cache} has is not asked again" if cache else "judges: nothing is cached")
    return lines


def make_judge(config: EvaluationJudgeConfig, seed: int, env: Env, limit: CallLimit | None) -> LlmJudge:
    """The judge. `ValueError` in one line if there is no such model, or no key for its service."""
    calls = env.calls.model_copy(update={"key": config.key or env.calls.key})
    try:
        return llm_judge.make(config.settings(), calls, seed, env.device, env.micro_batch_tokens, limit, env.dtype)
    except ValueError as error:
        raise ValueError(f"evaluation.judge {config.name}: {error}") from None


def limits(evaluation: EvaluationConfig, made: Row | None, *, reserves: bool) -> dict[str, CallLimit]:
    """The limits of the judges by name. made: the row of the last evaluation, whose calls are counted already.

    reserves: whether calls are kept for the final evaluation.
    """
    before = {name: int(row.get("calls") or 0) for name, row in ((made or {}).get("judges") or {}).items()}
    kept = {
        judge.name: 2 * judge.orders * evaluation.final_prompts * reserves  # of the last and the best policy
        for judge in evaluation.judge
    }
    of_all = CallLimit(evaluation.judge_calls, sum(kept.values()), None, sum(before.values()))
    return {
        judge.name: CallLimit(judge.cap, kept[judge.name], of_all, before.get(judge.name, 0))
        for judge in evaluation.judge
    }


def missing_lines(row: Row, where: str) -> list[str]:
    """A line for each judge that left answers unjudged at an evaluation. where: what the line calls it."""
    return [
        f"{where}: judge {name}: no judgement of {told['missing']} of {told['missing'] + told['items']} answers"
        + (f": {told['failure']}" if told.get("failure") else "")
        for name, told in (row.get("judges") or {}).items()
        if told["missing"]
    ]


def judges_of(truths: Sequence[AnyTruth]) -> list[LlmJudge]:
    """The judges among truths."""
    return [judge for truth in truths if (judge := judge_of(truth)) is not None]
