"""The stage `policy`: trains the SFT policy by the recipe's optimiser against the proxy; and its control."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from trueward.config import (
    ComparisonsConfig,
    EvaluationConfig,
    JudgeConfig,
    LoraConfig,
    PolicyConfig,
    RewardConfig,
    SamplerConfig,
    SftConfig,
)
from trueward.pipeline import judge_truths
from trueward.pipeline.compared import Compared
from trueward.pipeline.eval_setup import EvalSetup
from trueward.pipeline.optimisation import Optimisation
from trueward.pipeline.prepare import Prepared
from trueward.pipeline.program_reward import ProgramReward
from trueward.pipeline.relabel import RelabelSetup
from trueward.pipeline.reward_model import FittedReward
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.pipeline.sft import SftPolicy
from trueward.pipeline.stage import Stage
from trueward.pipeline.trained_policy import TrainedPolicy, read, write, write_summary
from trueward.scorers.scorer import Scorer
from trueward.scorers.user_function import Columns
from trueward.training.env import Env
from trueward.training.journal import EVALUATIONS, Journal


def optimise(
    *,
    prepared: Prepared,
    sft: SftPolicy,
    reward: FittedReward | ProgramReward,
    comparisons: Compared | None,
    seed: int,
    policy: PolicyConfig,
    sampler: SamplerConfig,
    evaluation: EvaluationConfig,
    rewarding: RewardConfig,
    labels: ComparisonsConfig | None,
    distilling: SftConfig | None,
    judge: JudgeConfig | None,
    lora: LoraConfig | None,
    env: Env,
    journal: Journal,
    is_control: bool = False,
    scorer: Scorer | None = None,
    given: Mapping[str, Scorer] | None = None,
    columns: Columns | None = None,
) -> TrainedPolicy:
    """Train by the optimiser that `policy.kind` names.

    rewarding: how the proxy was made and is shaped. labels: who compares the policy's new answers, with relabelling.
    distilling: SFT's settings for the best of n answers. judge: where one is a truth or the proxy. given: the caller's
    scorers, by name. columns: of the prompts' rows, for the user's scorers. is_control: train on a random reward. scorer:
    optimised in place of the proxy.
    """
    factory = ScorerFactory(
        env.alone, seed, rewarding, judge, evaluation.options, given or {}, columns or {}, evaluation.judge
    )
    rows = journal.rows(EVALUATIONS) if evaluation.judge else []
    relabelling = None
    if policy.relabel.every:
        assert comparisons is not None
        assert labels is not None
        relabelling = RelabelSetup(
            prepared, sft, comparisons, labels, policy, rewarding, sampler, lora, seed, env, journal
        )
    optimisation = Optimisation(
        setup=EvalSetup(
            prepared,
            sft,
            factory,
            sampler,
            evaluation.measured,
            seed,
            judge_truths.limits(evaluation, rows[-1] if rows else None, reserves=True),
        ),
        reward=reward,
        comparisons=comparisons,
        config=policy,
        sampler=sampler,
        evaluation=evaluation,
        relabelling=relabelling,
        sft=distilling,
        lora=lora,
        seed=seed,
        env=env,
        journal=journal,
        is_control=is_control,
        scorer=scorer,
    )
    if policy.kind == "best_of_n":
        return optimisation.choose_best_of_n()
    if policy.kind == "sft_on_best":
        return optimisation.distil_best_of_n()
    return optimisation.offline() if policy.kind == "dpo" and not policy.dpo.online else optimisation.online()


POLICY = Stage("policy", optimise, write, read, version=2, together=True)
CONTROL = Stage("control", partial(optimise, is_control=True), write_summary, read, version=2, together=True)
