"""What a run's policies are evaluated and rewarded with: evaluator, proxy, and the reward that is optimised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trueward.algorithms import best_of_n
from trueward.config import PolicyConfig, SamplerConfig
from trueward.evaluation.baseline import Baseline
from trueward.evaluation.evaluator import Evaluator
from trueward.evaluation.order_statistics import best_of_n_curve, expected_maximum
from trueward.evaluation.outliers import fit_outliers
from trueward.evaluation.truth import AnyTruth
from trueward.pipeline.answers import exact_sampler
from trueward.pipeline.prepare import Prepared
from trueward.pipeline.program_reward import ProgramReward
from trueward.pipeline.reward_model import FittedReward
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.pipeline.sft import SftPolicy
from trueward.pipeline.shared_figures import SharedFigures
from trueward.scorers.ensemble import Proxy
from trueward.scorers.judge.call_limit import CallLimit
from trueward.scorers.normalized import Normalized
from trueward.scorers.scorer import Scorer
from trueward.scorers.shaping import shaped

AnyProxy = Proxy | Normalized


@dataclass(frozen=True)
class EvalSetup:
    """The inputs of every evaluation of a run's policies."""

    prepared: Prepared
    sft: SftPolicy
    factory: ScorerFactory
    sampler: SamplerConfig
    truths: Sequence[str]
    seed: int
    limits: Mapping[str, CallLimit] = field(default_factory=dict)
    """Of the calls of the judges of [[evaluation.judge]], by name."""

    def proxy(self, reward: FittedReward | ProgramReward) -> AnyProxy:
        """The proxy in SDs under the SFT policy, frozen."""
        if isinstance(reward, FittedReward):
            return reward.proxy
        return self.factory.normalized_program(
            reward.scale, lambda: self.sft.policy, exact_sampler(self.sampler, self.factory.env)
        )

    def second(self, reward: FittedReward | ProgramReward, policy: PolicyConfig) -> Proxy | None:
        """The reward model of comparisons that neither the proxy nor the policy learns from; None where there is none.

        DPO learns from all comparisons itself.
        """
        learns_from_all = policy.kind == "dpo" and not policy.dpo.online
        second = reward.second if isinstance(reward, FittedReward) and not learns_from_all else None
        return second.model if second else None

    @property
    def samples_reference(self) -> bool:
        """Whether the reward sets the SFT policy's answers beside others: `sigmoid` shaping, a judge that compares."""
        reward = self.factory.reward
        assert reward is not None
        return reward.shaping == "sigmoid" or (reward.kind == "judge" and reward.judge_mode != "pointwise")

    def evaluator(self, proxy: AnyProxy | None, second: Proxy | None = None) -> Evaluator:
        """The evaluator. A proxy that is a program has no hidden states, so there are no outliers. second: as `Evaluator`'s."""
        env, answers = self.factory.env, self.sft.answers
        return Evaluator(
            reference=self.sft.policy,
            proxy=proxy,
            truths=self.factory.truths(self.truths, self.prepared.annotators, answers, self.limits),
            sample=exact_sampler(self.sampler, env, is_shared=True),
            figures=SharedFigures(env.ranks),
            temperature=self.sampler.temperature,
            seed=self.seed,
            micro_batch_tokens=env.micro_batch_tokens,
            outliers=None if proxy is None or isinstance(proxy, Normalized) else fit_outliers(proxy, answers),
            second=second,
        )

    def reward(self, proxy: Scorer) -> Scorer:
        """The reward to optimise: the proxy's score, shaped if [reward] says so. The evaluator's proxy is never shaped."""
        config = self.factory.reward
        assert config is not None
        sample = exact_sampler(self.sampler, self.factory.env)
        return shaped(config, proxy, self.sft.answers, self.sft.policy, sample, self.seed)


def best_of_n_rows(
    candidates: best_of_n.Candidates, truths: Sequence[AnyTruth], home: Baseline, proxy: Scorer
) -> list[dict[str, Any]]:
    """Proxy and first truth of the best of 1, 2, 4, … n, from the n answers to each prompt; and the gain of normal scores.

    home: the SFT policy's answers to the same prompts, whose means are 0.
    """
    values = {"proxy": candidates.score.numpy() - home.by_prompt(home.scored(proxy).score).mean(axis=1)[:, None]}
    if truths:
        n = candidates.score.shape[1]
        rivals = [[rival for rival in answers for _ in range(n)] for answers in home.rivals]
        truth = truths[0].beside(candidates.completions, rivals).reshape(candidates.score.shape)
        values["truth"] = truth - home.truths[truths[0].name].mean(axis=1)[:, None]
    rows = best_of_n_curve(candidates.rewards.numpy(), values)
    missing = {} if truths else {"truth": None, "truth_se": None}
    return [
        {"n": row["n"], "kl": round(best_of_n.kl(row["n"]), 5)}
        | {key: round(v, 5) if np.isfinite(v) else None for key, v in row.items() if key != "n"}
        | missing
        | {"normal": round(expected_maximum(row["n"]), 5)}
        for row in rows
    ]
