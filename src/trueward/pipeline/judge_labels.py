"""Comparisons that a judge writes, ratings that it gives, and whom it is held against."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward.artifacts import Artifact
from trueward.config import Recipe
from trueward.data import comparisons as compared
from trueward.data import jsonl
from trueward.evaluation import judge_report
from trueward.pipeline.env import Env
from trueward.records import Completion, line
from trueward.scorers import simulated
from trueward.scorers.judge import llm_judge as judges
from trueward.scorers.judge.llm_judge import LlmJudge, Pair
from trueward.scorers.judge.rating import JudgeScorer
from trueward.scorers.scorer import Scale, fit_scale, scores
from trueward.seeds import generator


def uses_judge(recipe: Recipe) -> bool:
    """Whether the recipe's judge has anything to say in it."""
    parts = [p.scorer for p in recipe.reward.parts] if recipe.reward.kind == "mix" else []
    return "judge" in (recipe.comparisons.source, recipe.reward.kind, *recipe.evaluation.truths, *parts)


def build_judge(recipe: Recipe, device: torch.device) -> LlmJudge:
    """The recipe's judge."""
    runtime = recipe.runtime
    return judges.make(recipe.judge, runtime.judge, recipe.seed, device, runtime.micro_batch_tokens)


def write_comparisons(env: Env, prepared: Artifact, pairs: Sequence[Pair], work: Path) -> dict[str, Any]:
    """The comparisons that the judge makes of these pairs, and what the stage says of them and of it."""
    recipe = env.recipe
    judge = build_judge(recipe, env.device)
    different = [p for p in pairs if (p[0].response, p[0].finished) != (p[1].response, p[1].finished)]
    env.progress.start("comparisons: the judge", len(different))
    found = judge.compare(different, env.progress.at)
    rows = judges.labelled(different, found, judge)
    jsonl.write(work / "comparisons.jsonl", [line(c) for c in rows])
    logits = np.array([np.nan if f.logit is None else f.logit for f in found])
    figures = judge_report.of_preferences(found, recipe.judge) | agreement_with_others(
        env, prepared, judge, different, logits
    )
    env.progress.end(f"{len(rows):,} comparisons, {figures['failed']} failed, cost {figures['cost']:.4f}")
    left_out = [
        {"what": "comparisons", "reason": "the two answers were the same", "rows": len(pairs) - len(different)},
        {"what": "comparisons", "reason": "the judge gave no judgement", "rows": figures["failed"]},
    ]
    return {
        "comparisons": len(rows),
        "source": "judge",
        "agreement": None,
        "temperature": None,
        "ties": sum(c.probability == 0.5 for c in rows),
        "judge": figures,
        "left_out": [row for row in left_out if row["rows"]],
    }


def agreement_with_others(
    env: Env, prepared: Artifact, judge: LlmJudge, pairs: Sequence[Pair], logits: np.ndarray
) -> dict[str, Any]:
    """The judge's agreement with people's comparisons, where the recipe names some, or with the simulated utility on the
    pairs that it judged, where there is one."""
    recipe = env.recipe
    if recipe.comparisons.path:
        rows = compared.read(recipe.comparisons.path).rows
        order = torch.randperm(len(rows), generator=generator(recipe.seed, "held against people")).tolist()
        picked = [rows[i] for i in order[: recipe.judge.check]]
        own = [p.logit for p in judge.compare([c.completions() for c in picked])]
        theirs = np.array([c.probability - 0.5 for c in picked])
        who = f"people, {Path(recipe.comparisons.path).name}"
        return judge_report.agreement(np.array([np.nan if x is None else x for x in own]), theirs, who)
    gaps = utility_gaps(recipe, prepared, pairs)
    if gaps is None:
        return judge_report.agreement(np.zeros(0), np.zeros(0), "")
    return judge_report.agreement(logits, gaps, f"the simulated utility {recipe.comparisons.annotator}")


def utility_gaps(recipe: Recipe, prepared: Artifact, pairs: Sequence[Pair]) -> np.ndarray | None:
    """The simulated utility of the first answers less that of the second ones, without annotators' noise; [n]."""
    folder = prepared.path / "annotators"
    if not (folder / f"{recipe.comparisons.annotator}.json").is_file():
        return None
    utility = simulated.load(folder, recipe.comparisons.annotator)
    found = scores(utility, [side for pair in pairs for side in pair]).reshape(-1, 2)
    return np.asarray(found[:, 0] - found[:, 1])


def rate(env: Env, prepared: Artifact, answers: Sequence[Completion]) -> tuple[Scale, dict[str, Any]]:
    """The scale of the judge's ratings from the SFT policy's answers, two to each prompt, and what is known of the judge.

    Pairs of answers of which one has no rating are left out.
    """
    recipe = env.recipe
    judge = build_judge(recipe, env.device)
    found = judge.rate(answers)
    ratings = np.array([np.nan if r.value is None else r.value for r in found]).reshape(-1, 2)
    whole = ~np.isnan(ratings).any(axis=1)
    scale = fit_scale(ratings[whole], "the judge")
    figures = judge_report.of_ratings(found, recipe.judge)
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    gaps, who = utility_gaps(recipe, prepared, pairs), f"the simulated utility {recipe.comparisons.annotator}"
    if gaps is None:
        gaps, who = np.zeros(len(pairs)), ""
    return scale, figures | judge_report.agreement(ratings[:, 0] - ratings[:, 1], gaps, who)


def judge_scorer(recipe: Recipe, device: torch.device, neutral: float | None = None) -> JudgeScorer:
    """The judge as a scorer."""
    return JudgeScorer(build_judge(recipe, device), neutral)
