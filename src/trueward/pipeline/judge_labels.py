"""Comparisons made by a judge, the scale of its ratings, and its agreement with a reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward.config import ComparisonsConfig, JudgeConfig, Recipe
from trueward.data import comparisons as compared
from trueward.evaluation import judge_report
from trueward.records import Comparison, Completion
from trueward.scorers import simulated
from trueward.scorers.judge import llm_judge
from trueward.scorers.judge.call_limit import CallLimit
from trueward.scorers.judge.llm_judge import LlmJudge, Pair, Preference
from trueward.scorers.judge.ranking import Ranked, rank
from trueward.scorers.scorer import Scale, fit_scale, scores
from trueward.scorers.simulated import Annotator
from trueward.seeds import generator
from trueward.training.env import Env


def uses_judge(recipe: Recipe) -> bool:
    """Whether any part of the recipe uses the judge."""
    parts = [p.scorer for p in recipe.reward.parts] if recipe.reward.kind == "mix" else []
    return "judge" in (recipe.comparisons.source, recipe.reward.kind, *recipe.evaluation.truths, *parts)


def build_judge(judge: JudgeConfig, seed: int, env: Env, limit: CallLimit | None = None) -> LlmJudge:
    """The recipe's judge. limit: of its calls; then no failure of its service ends a run."""
    return llm_judge.make(judge, env.calls, seed, env.device, env.micro_batch_tokens, limit, env.dtype)


def judge_comparisons(
    pairs: Sequence[Pair],
    annotators: Mapping[str, Annotator],
    comparisons: ComparisonsConfig,
    config: JudgeConfig,
    seed: int,
    env: Env,
) -> tuple[list[Comparison], dict[str, Any]]:
    """The judge's comparisons of these pairs, and the summary of comparisons and judge."""
    judge = build_judge(config, seed, env)
    different = [p for p in pairs if (p[0].response, p[0].finished) != (p[1].response, p[1].finished)]
    env.progress.start("comparisons: the judge", len(different))
    preferences = judge.compare(different, env.progress.at)
    rows = llm_judge.labelled(different, preferences, judge)
    logits = np.array([np.nan if p.logit is None else p.logit for p in preferences])
    figures = judge_report.of_preferences(preferences, config)
    figures |= _agreement_with_others(judge, different, logits, annotators, comparisons, config, seed)
    env.progress.end(f"{len(rows):,} comparisons, {figures['failed']} failed, cost {figures['cost']:.4f}")
    left_out = [
        {"what": "comparisons", "reason": "the two answers were the same", "rows": len(pairs) - len(different)},
        {"what": "comparisons", "reason": "the judge gave no judgement", "rows": figures["failed"]},
    ]
    return rows, {
        "comparisons": len(rows),
        "source": "judge",
        "agreement": None,
        "temperature": None,
        "ties": sum(c.probability == 0.5 for c in rows),
        "judge": figures,
        "left_out": [row for row in left_out if row["rows"]],
    }


def _agreement_with_others(
    judge: LlmJudge,
    pairs: Sequence[Pair],
    logits: np.ndarray,
    annotators: Mapping[str, Annotator],
    comparisons: ComparisonsConfig,
    config: JudgeConfig,
    seed: int,
) -> dict[str, Any]:
    """The judge's agreement with people's comparisons if the recipe names some, else with the simulated utility on the
    pairs that it judged, if there is one.
    """
    if comparisons.path:
        rows = compared.read(comparisons.path).rows
        order = torch.randperm(len(rows), generator=generator(seed, "held against people")).tolist()
        picked = [rows[i] for i in order[: config.check]]
        own = [p.logit for p in judge.compare([c.completions() for c in picked])]
        theirs = np.array([c.probability - 0.5 for c in picked])
        who = f"people, {Path(comparisons.path).name}"
        return judge_report.agreement(np.array([np.nan if x is None else x for x in own]), theirs, who)
    gaps = utility_gaps(annotators, comparisons.annotator, pairs)
    if gaps is None:
        return judge_report.agreement(np.zeros(0), np.zeros(0), "")
    return judge_report.agreement(logits, gaps, f"the simulated utility {comparisons.annotator}")


def utility_gaps(annotators: Mapping[str, Annotator], annotator: str, pairs: Sequence[Pair]) -> np.ndarray | None:
    """The simulated utility of the first answers minus that of the second ones, without noise, [n]; None without a utility."""
    if annotator not in annotators:
        return None
    utility = simulated.pick(annotators, annotator)
    gaps = scores(utility, [side for pair in pairs for side in pair]).reshape(-1, 2)
    return np.asarray(gaps[:, 0] - gaps[:, 1])


def rating_scale(
    answers: Sequence[Completion],
    annotators: Mapping[str, Annotator],
    annotator: str,
    config: JudgeConfig,
    seed: int,
    env: Env,
    mode: str = "pointwise",
) -> tuple[Scale, dict[str, Any]]:
    """The scale of the judge's scores, from the SFT policy's answers, two to each prompt, and the judge's figures.

    Pairs with an answer that has no judgement are left out. mode: `reward.judge_mode`.
    """
    judge = build_judge(config, seed, env)
    pairs = list(zip(answers[::2], answers[1::2], strict=True))
    if mode != "pointwise":
        return _relative_scale(judge, pairs, annotators, annotator, config, mode)
    rated = judge.rate(answers)
    ratings = np.array([np.nan if r.value is None else r.value for r in rated]).reshape(-1, 2)
    whole = ~np.isnan(ratings).any(axis=1)
    scale = fit_scale(ratings[whole], "the judge")
    figures = judge_report.of_ratings(rated, config)
    return scale, figures | _agreement_with_utility(ratings[:, 0] - ratings[:, 1], annotators, annotator, pairs)


def _relative_scale(
    judge: LlmJudge,
    pairs: Sequence[Pair],
    annotators: Mapping[str, Annotator],
    annotator: str,
    config: JudgeConfig,
    mode: str,
) -> tuple[Scale, dict[str, Any]]:
    """The scale of a judge that sets answers beside SFT's: of one of SFT's answers beside another. Mean 0 by symmetry."""
    different = [p for p in pairs if p[0].response != p[1].response]
    judged: Sequence[Preference] | Sequence[Ranked]
    if mode == "pairwise":
        judged = preferences = judge.compare(different)
        values = np.array([np.nan if p.logit is None else np.tanh(p.logit / 2) for p in preferences])
    else:
        judged = ranked = rank(judge, different)
        values = np.array([np.nan if r.places is None else r.places[1] - r.places[0] for r in ranked])
    if not len(values):
        raise ValueError("the judge: SFT's two answers are the same to every prompt, so there is nothing to compare")
    known = values[np.isfinite(values)]
    scale = fit_scale(np.stack([known, -known], axis=1), "the judge")
    figures = judge_report.of_compared(judged, config)
    return scale, figures | _agreement_with_utility(values, annotators, annotator, different)


def _agreement_with_utility(
    judged: np.ndarray, annotators: Mapping[str, Annotator], annotator: str, pairs: Sequence[Pair]
) -> dict[str, Any]:
    """judged [n]: above 0 where the first answer is the better one; NaN without a judgement."""
    gaps, who = utility_gaps(annotators, annotator, pairs), f"the simulated utility {annotator}"
    if gaps is None:
        gaps, who = np.zeros(len(pairs)), ""
    return judge_report.agreement(judged, gaps, who)
