"""The stage `evaluation`: base, SFT, last and best policy side by side on held-out prompts, on fresh answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from trueward.algorithms import best_of_n
from trueward.artifacts import Artifact, read_json, write_json
from trueward.config import (
    EvaluationConfig,
    JudgeConfig,
    ModelConfig,
    PolicyConfig,
    RewardConfig,
    SamplerConfig,
)
from trueward.data import jsonl
from trueward.evaluation.evaluator import Evaluator
from trueward.evaluation.measurement import feature_shifts
from trueward.evaluation.truth import span_between
from trueward.models.network import Network
from trueward.pipeline import judge_truths
from trueward.pipeline.answers import exact_sampler
from trueward.pipeline.eval_setup import EvalSetup, best_of_n_rows
from trueward.pipeline.held_out import divide
from trueward.pipeline.prepare import Prepared
from trueward.pipeline.program_reward import ProgramReward
from trueward.pipeline.reward_model import FittedReward
from trueward.pipeline.run_verdict import final_fall
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.pipeline.sft import SftPolicy
from trueward.pipeline.stage import Row, Stage
from trueward.pipeline.trained_policy import TrainedPolicy
from trueward.records import Prompt
from trueward.scorers.scorer import scores
from trueward.scorers.user_function import Columns
from trueward.training.env import Env
from trueward.training.journal import Journal

SFT_ANSWERS = 4  # to each prompt, which all policies are measured against
SHOWN = 10  # prompts whose answers are in the report


@dataclass(frozen=True)
class FinalEvaluation:
    """The figures of each policy, and its answers with their scores."""

    policies: dict[str, Row]
    answers: dict[str, list[Row]] = field(repr=False)
    summary: Row = field(repr=False)


def evaluate(
    *,
    prepared: Prepared,
    sft: SftPolicy,
    reward: FittedReward | ProgramReward,
    policy: TrainedPolicy,
    seed: int,
    model: ModelConfig | None,
    config: PolicyConfig,
    sampler: SamplerConfig,
    evaluation: EvaluationConfig,
    rewarding: RewardConfig,
    judge: JudgeConfig | None,
    env: Env,
    journal: Journal,
    columns: Columns | None = None,
) -> FinalEvaluation:
    """Every policy on the same prompts.

    They are the last ones in the seed's order; no evaluation in training used them, unless too few are held out. model: what
    SFT started from, if it is measured too. columns: of the prompts' rows, for the user's scorers.
    """
    factory = ScorerFactory(
        env, seed, rewarding, judge, evaluation.options, columns=columns or {}, judges=evaluation.judge
    )
    made = policy.evaluations[-1] if policy.evaluations else None
    limits = judge_truths.limits(evaluation, made, reserves=False)
    setup = EvalSetup(prepared, sft, factory, sampler, evaluation.measured, seed, limits)
    proxy = policy.refitted() or setup.proxy(reward)
    base = env.load(model.base, seed) if model else None
    if base and len(base.tokenizer) != len(sft.policy.tokenizer):
        base = None  # its vocabulary is not the reference's, so KL and perplexity are undefined
    evaluator = replace(setup.evaluator(proxy, setup.second(reward, config)), base=base, answers=SFT_ANSWERS)
    held_out = divide(prepared.held_out_in_order(seed), 0 if config.kind == "best_of_n" else evaluation.step_prompts)
    prompts = held_out.final(evaluation.final_prompts)
    best, last_is_best = policy.load_best, policy.summary["best_step"] == policy.summary["steps"]
    policies: dict[str, Callable[[], Network]] = {"sft": lambda: sft.policy, "policy": policy.load}
    if base:
        policies = {"base": lambda: base, **policies}
    if best and not last_is_best:
        policies["best"] = best
    env.progress.start("evaluation", len(policies))
    curve: list[Row] = []
    rows: dict[str, Row] = {}
    answers: dict[str, list[Row]] = {}
    in_turn = sorted(policies, key=lambda name: name == "base")  # last: it shall not use up the calls of the judges
    for done, (name, load) in enumerate(((name, policies[name]) for name in in_turn), 1):
        chooser = None
        if name == "policy" and config.kind == "best_of_n":
            chooser = _chooser(setup, evaluator, config, prompts, curve)
        measured = replace(evaluator, choose=chooser).measure(
            load(), prompts, "evaluation", name, is_reference=name == "sft"
        )
        if chooser:  # the network is SFT's; only the choice differs
            bound = round(best_of_n.kl(config.best_of_n.n), 5)
            measured.row.update(kl=bound, kl_se=None, kl_k1=None, kl_k1_se=None)
        rows[name], answers[name] = measured.row, measured.samples
        for line in judge_truths.missing_lines(measured.row, f"the final evaluation of {name}"):
            env.progress.tell(line)
        env.progress.at(done)
    rows, answers = {name: rows[name] for name in policies}, {name: answers[name] for name in policies}
    if best and last_is_best:  # the same weights: one measurement, not two that differ by chance
        rows["best"], answers["best"] = rows["policy"], answers["policy"]
    env.progress.end(f"{len(prompts)} held-out prompts")
    span = span_between(evaluator.truths[0]) if evaluator.truths else None
    fall = None if held_out.missing else final_fall(policy, evaluation, seed, rows, answers, span)
    summary = {
        "policies": rows,
        "samples": _side_by_side([str(p) for p in prompts[:SHOWN]], answers),
        "best_of_n": curve,
        "feature_shift": feature_shifts(answers["policy"]),
        "fall": fall,
        "prompts_missing": held_out.missing,
        "evaluated_on": {
            "prompts": len(prompts),
            "used_before": held_out.used_before(evaluation.final_prompts),
            "missing": held_out.missing,
        },
    }
    return FinalEvaluation(rows, answers, summary)


def _chooser(
    setup: EvalSetup, evaluator: Evaluator, config: PolicyConfig, prompts: Sequence[Prompt], curve: list[Row]
) -> Any:
    """A sampler of the best of n; adds to `curve` the figures of the best of fewer."""
    proxy = evaluator.proxy
    assert proxy is not None
    reward, home = setup.reward(proxy), evaluator.baseline(prompts)

    def on_candidates(candidates: best_of_n.Candidates) -> None:
        own = candidates.score
        if reward is not proxy:
            own = torch.as_tensor(scores(proxy, candidates.completions)).view_as(own)
        curve.extend(best_of_n_rows(replace(candidates, score=own), evaluator.truths, home, proxy))

    sample = exact_sampler(setup.sampler, setup.factory.env)
    return best_of_n.sampler(config.best_of_n.n, reward, sample, config.missing_eos_penalty, on_candidates)


def _side_by_side(prompts: list[str], answers: dict[str, list[Row]]) -> list[Row]:
    """Each prompt with the answer of every policy."""
    keys = ("response", "proxy", "truth", "finished")
    return [
        {"prompt": prompt, "answers": {name: {key: rows[i][key] for key in keys} for name, rows in answers.items()}}
        for i, prompt in enumerate(prompts)
    ]


def write(result: FinalEvaluation, folder: Path) -> Row:
    """Write the result into the stage's directory; returns the summary for its manifest."""
    write_json(folder / "policies.json", result.policies)
    write_json(folder / "samples.json", result.summary["samples"])
    for name, rows in result.answers.items():
        jsonl.write(folder / f"{name}.jsonl", rows)
    return result.summary


def read(artifact: Artifact, env: Env) -> FinalEvaluation:
    """The result, from the stage's directory."""
    rows = read_json(artifact.path / "policies.json")
    answers = {name: [row for _, row in jsonl.read(artifact.path / f"{name}.jsonl")] for name in rows}
    return FinalEvaluation(rows, answers, artifact.summary)


EVALUATION = Stage("evaluation", evaluate, write, read, version=2)
