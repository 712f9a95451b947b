"""The evaluator: measures a policy's answers to held-out prompts, beside those of the reference policy.

Proxy and truths are in SDs under the reference policy (within a prompt), above the mean of the reference's own answers to the
same prompts; the KL is that of whole answers in nats.
Nothing that is measured here is ever optimised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from trueward.batches import Rollout
from trueward.evaluation.baseline import Baseline
from trueward.evaluation.cross_check import second_gains
from trueward.evaluation.lengths import correlation, matched_gain
from trueward.evaluation.measurement import Measurement, paired_gain, word_statistics
from trueward.evaluation.measurement import number as _number
from trueward.evaluation.outliers import Outliers
from trueward.evaluation.statistics import standard_error
from trueward.evaluation.token_figures import AnswerFigures, by_answer
from trueward.evaluation.token_strip import strip
from trueward.evaluation.truth import AnyTruth
from trueward.evaluation.truth_values import TruthValues, known_prompts, missing_row
from trueward.evaluation.win_rate import win_rate
from trueward.models.network import Network
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import Sample
from trueward.scorers.normalized import raw
from trueward.scorers.scorer import ScoredBatch, Scorer
from trueward.token_budget import Budget


@dataclass(frozen=True)
class Evaluator:
    """Evaluates a policy on prompts, against a fixed reference policy, by a proxy and by truths."""

    reference: Network
    """The SFT policy."""
    proxy: Scorer | None
    """Its scores are in SDs already."""
    truths: Sequence[AnyTruth]
    """The first one is the truth of the verdict; of the others only means are reported."""
    sample: Sample
    temperature: float
    seed: int
    micro_batch_tokens: Budget
    choose: Sample | None = None
    """Samples the policy's answers in the place of `sample`, e.g. the best of n; never the reference's."""
    outliers: Outliers | None = None
    base: Network | None = None
    """The model that SFT started from, for a perplexity."""
    answers: int = 2
    """Of the reference to each prompt, which every policy is measured against."""
    second: Scorer | None = None
    """A reward model of other comparisons than the proxy's (`reward.cross_check`), in SDs as the proxy is."""
    figures: Callable[[Mapping[str, Network], Rollout, float, Budget], AnswerFigures] = by_answer
    """Reads the answers by the policy and the reference."""
    baselines: dict[tuple[str, ...], Baseline] = field(default_factory=dict, repr=False, compare=False)
    """Those that were drawn, by the ids of their prompts."""

    def measure(
        self,
        policy: Network,
        prompts: Sequence[Prompt],
        *purpose: str | int,
        by_token: bool = False,
        is_reference: bool = False,
    ) -> Measurement:
        """Evaluate `policy` on fresh answers, one to each prompt, beside the reference's (`baseline`).

        purpose: names the evaluation; its answers are drawn with a generator of its own. by_token: samples also hold
        log π/π_ref of each token, nats. is_reference: the policy is the reference itself; then its answers are the baseline's
        first ones, and what it gains is 0.
        """
        if is_reference:
            home = self.baseline(prompts)
            rollout = home.rollouts[0]
        else:
            answer = self.choose or self.sample
            rollout = answer(policy, prompts, Draws.purpose(self.seed, "look", *purpose, "policy"))
            home = self.baseline(prompts)
        unknown = np.full(len(prompts), np.nan)
        values = TruthValues.of(self.truths, rollout.completions, home)
        truth, theirs = values.first(len(prompts))
        known = known_prompts(truth, theirs)
        proxy, rival_proxy, is_outlier = unknown, unknown[:, None], unknown
        between: dict[str, Any] = {}
        if self.proxy:
            if self.outliers:
                scored, is_outlier = self.outliers(rollout.completions)
            else:
                scored = ScoredBatch.of(self.proxy, rollout.completions)
            their_scored = home.scored(self.proxy)
            proxy, rival_proxy = scored.score, home.by_prompt(their_scored.score)
            between = member_spread(scored, their_scored)
            if self.second:
                again = ScoredBatch.of(self.second, rollout.completions).score
                at_home = home.by_prompt(home.scored(self.second, "second").score)
                between |= second_gains(proxy, rival_proxy, again, at_home, is_reference)
        figures, ratios = self._figures(policy, rollout)
        wins = low = high = np.nan  # of the reference against itself there is no win rate
        if np.isfinite(truth[known]).any() and not is_reference:
            wins, low, high = win_rate(truth[known], theirs[known])
        exact = figures["kl"]
        tokens = float(rollout.tokens.response_lengths.sum())
        rival = home.rollouts[0]
        lengths, their_lengths = (r.tokens.response_lengths.double().numpy() for r in (rollout, rival))
        at_length = {
            "proxy": matched_gain(proxy, rival_proxy[:, 0], lengths, their_lengths),
            "truth": matched_gain(truth[known], theirs[known, 0], lengths[known], their_lengths[known]),
        }
        gains = {
            **paired_gain(
                "truth", (theirs if is_reference else truth)[known], theirs[known], values.span, is_reference
            ),
            **paired_gain("proxy", rival_proxy if is_reference else proxy, rival_proxy, None, is_reference),
        }
        level = rival_proxy if is_reference else proxy
        row = {
            **gains,
            "proxy_raw": raw(self.proxy, _number(level.mean())),
            "truths": {name: 0.0 if is_reference else _number(mean) for name, mean in values.means().items()},
            **(missing_row(truth, theirs) if self.truths else {}),
            **({} if is_reference else values.judge_rows([p.id for p in prompts], lengths, their_lengths)),
            "win_rate": _number(wins),
            "win_rate_low": _number(low),
            "win_rate_high": _number(high),
            "kl": _number(exact.mean()),
            "kl_se": _number(standard_error(exact)),
            "kl_k1": _number(figures["k1"].mean()),
            "kl_k1_se": _number(standard_error(figures["k1"])),
            **answer_statistics(rollout),
            "entropy": _number(figures["entropy"].sum() / tokens),
            "sft_nll": _number(figures["sft_nll"].sum() / tokens),
            **({"base_nll": _number(figures["base_nll"].sum() / tokens)} if self.base else {}),
            "outlier_share": _number(is_outlier.mean()),
            **between,
            "proxy_truth_correlation": _number(correlation(proxy[known], truth[known])),
            "length_correlation": _number(correlation(lengths, proxy)),
            **{f"{name}_at_length": _number(matched.gain) for name, matched in at_length.items()},
            **{f"{name}_at_length_se": _number(matched.error) for name, matched in at_length.items()},
            "length_matched": _number(at_length["proxy"].matched),
            "prompts": len(prompts),
        }
        samples = [
            {
                "prompt": str(c.prompt),
                "response": c.response,
                "finished": c.finished,
                "proxy": _number(proxy[i]),
                "truth": _number(truth[i]),
                "truths": {name: _number(scored[i]) for name, scored in values.ours.items()},
                "kl": _number(exact[i]),
                "length": int(rollout.tokens.response_lengths[i]),
                "reference": rival.completions[i].response,
                "reference_finished": rival.completions[i].finished,
                "reference_proxy": _number(rival_proxy[i, 0]),
                "reference_truth": _number(theirs[i, 0]),
                "outlier": bool(is_outlier[i]) if self.outliers else None,
                **({"tokens": strip(policy.tokenizer, *ratios[i], c.response)} if by_token else {}),
            }
            for i, c in enumerate(rollout.completions)
        ]
        return Measurement(row, samples)

    def baseline(self, prompts: Sequence[Prompt]) -> Baseline:
        """The reference's `answers` answers to each of these prompts: drawn once, the same for every policy and evaluation."""
        key = tuple(prompt.id for prompt in prompts)
        if key not in self.baselines:
            rollouts = [
                self.sample(self.reference, prompts, Draws.purpose(self.seed, "look", "baseline", k))
                for k in range(self.answers)
            ]
            self.baselines[key] = Baseline.of(rollouts, self.truths)
        return self.baselines[key]

    def truth(self, policy: Network, prompts: Sequence[Prompt], answers: int, *purpose: str | int) -> np.ndarray:
        """The first truth of `answers` fresh answers to each prompt, SDs: [prompts, answers]."""
        repeated = [prompt for prompt in prompts for _ in range(answers)]
        completions = self.sample(policy, repeated, Draws.purpose(self.seed, "look", *purpose)).completions
        rivals: list[list[Completion]] = []
        if self.truths[0].compares:
            theirs = self.sample(self.reference, prompts, Draws.purpose(self.seed, "look", "baseline", 0)).completions
            rivals = [[rival for rival in theirs for _ in range(answers)]]
        return self.truths[0].beside(completions, rivals).reshape(len(prompts), answers)

    @torch.no_grad()
    def _figures(
        self, policy: Network, rollout: Rollout
    ) -> tuple[Mapping[str, np.ndarray], list[tuple[list[int], list[float]]]]:
        """By answer, nats, each [answers]: the KL by the exact sum at each position (Rao–Blackwell), its k1 estimate, the
        summed entropy, and −log of the answer's probability under the reference and the base model. And each answer's
        token ids with log π/π_ref of each.
        """
        networks = {"policy": policy, "reference": self.reference, **({"base": self.base} if self.base else {})}
        return self.figures(networks, rollout, self.temperature, self.micro_batch_tokens)


def member_spread(ours: ScoredBatch, theirs: ScoredBatch) -> dict[str, Any]:
    """Mean SD between an ensemble's members on the policy's answers, and its ratio to that on the reference's.

    Empty for one reward model.
    """
    if "member_sd" not in ours.parts:
        return {}
    here, home = (float(scored.parts["member_sd"].mean()) for scored in (ours, theirs))
    return {"member_sd": _number(here), "member_sd_relative": _number(here / home if home > 0 else np.nan)}


def answer_statistics(rollout: Rollout) -> dict[str, Any]:
    """Length in tokens, and `word_statistics`."""
    length = _number(rollout.tokens.response_lengths.double().mean().item())
    return {"length": length, **word_statistics(rollout.completions)}
