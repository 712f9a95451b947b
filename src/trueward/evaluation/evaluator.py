"""The evaluator: measures a policy's answers to held-out prompts, beside those of the reference policy.

Proxy and truths are in SDs under the reference policy (within a prompt), the KL is that of whole answers in nats.
Nothing that is measured here is ever optimised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from trueward.batches import Rollout, micro_batches
from trueward.evaluation import diversity
from trueward.evaluation.feature_shift import ScoredAnswer, feature_shift
from trueward.evaluation.lengths import correlation, matched_gain
from trueward.evaluation.outliers import Outliers
from trueward.evaluation.paired import paired
from trueward.evaluation.statistics import standard_error
from trueward.evaluation.token_strip import strip
from trueward.evaluation.win_rate import win_rate
from trueward.losses import kl
from trueward.losses import logprobs as lp
from trueward.models import heads
from trueward.models.network import Network
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import Sample
from trueward.scorers.normalized import raw
from trueward.scorers.scorer import Scale, ScoredBatch, Scorer, bounds, scores


@dataclass(frozen=True)
class Truth:
    """A scorer that is never optimised, and its scale under the reference policy."""

    name: str
    scorer: Scorer
    scale: Scale

    @property
    def span(self) -> float | None:
        """The highest possible score less the lowest, SDs; None where nothing bounds them (`scorer.bounds`)."""
        ends = bounds(self.scorer)
        return None if ends is None else (ends[1] - ends[0]) / self.scale.sd

    def __call__(self, completions: Sequence[Completion]) -> np.ndarray:
        """The scores of completions, SDs, [n]. `ValueError` for one outside of the scorer's bounds."""
        raw, ends = scores(self.scorer, completions), bounds(self.scorer)
        if ends and len(raw) and not (ends[0] <= raw.min() and raw.max() <= ends[1]):
            wrong = raw.min() if raw.min() < ends[0] else raw.max()
            raise ValueError(
                f"evaluation.truths: {self.name} scored {wrong:g}, outside of its bounds, {ends[0]:g} to {ends[1]:g}"
            )
        return self.scale.apply(raw)


@dataclass(frozen=True)
class Measurement:
    """One evaluation: its row of figures, and for each prompt the answer with its scores."""

    row: dict[str, Any]
    samples: list[dict[str, Any]]


@dataclass(frozen=True)
class Evaluator:
    """Evaluates a policy on prompts, against a fixed reference policy, by a proxy and by truths."""

    reference: Network
    """The SFT policy."""
    proxy: Scorer | None
    """Its scores are in SDs already."""
    truths: Sequence[Truth]
    """The first one is the truth of the verdict; of the others only means are reported."""
    sample: Sample
    temperature: float
    seed: int
    micro_batch_tokens: int
    choose: Sample | None = None
    """Samples the policy's answers in the place of `sample`, e.g. the best of n. The reference always answers once."""
    outliers: Outliers | None = None
    base: Network | None = None
    """The model that SFT started from, for a perplexity."""

    def measure(
        self, policy: Network, prompts: Sequence[Prompt], *purpose: str | int, by_token: bool = False
    ) -> Measurement:
        """Evaluate `policy` and the reference on fresh answers, one of each to a prompt.

        purpose: names the evaluation; its answers are drawn with a generator of its own. by_token: samples also hold
        log π/π_ref of each token, nats.
        """
        answer = self.choose or self.sample
        rollout = answer(policy, prompts, Draws.purpose(self.seed, "look", *purpose, "policy"))
        rival = self.sample(self.reference, prompts, Draws.purpose(self.seed, "look", *purpose, "reference"))
        unknown = np.full(len(prompts), np.nan)
        truths = {t.name: t(rollout.completions) for t in self.truths}
        truth, theirs = unknown, unknown
        if self.truths:
            first = self.truths[0]
            truth, theirs = truths[first.name], first(rival.completions)
        proxy, rival_proxy, is_outlier = unknown, unknown, unknown
        between: dict[str, Any] = {}
        if self.proxy:
            if self.outliers:
                scored, is_outlier = self.outliers(rollout.completions)
            else:
                scored = ScoredBatch.of(self.proxy, rollout.completions)
            their_scored = ScoredBatch.of(self.proxy, rival.completions)
            proxy, rival_proxy = scored.score, their_scored.score
            between = member_spread(scored, their_scored)
        figures, ratios = self._figures(policy, rollout)
        wins, low, high = win_rate(truth, theirs) if self.truths else (np.nan, np.nan, np.nan)
        exact = figures["kl"]
        tokens = float(rollout.tokens.response_lengths.sum())
        lengths, their_lengths = (r.tokens.response_lengths.double().numpy() for r in (rollout, rival))
        at_length = {
            name: matched_gain(ours, rival_proxy, lengths, their_lengths)
            for name, ours, rival_proxy in (("proxy", proxy, rival_proxy), ("truth", truth, theirs))
        }
        row = {
            "proxy": _number(proxy.mean()),
            "proxy_raw": raw(self.proxy, _number(proxy.mean())),
            "proxy_se": _number(standard_error(proxy)),
            "truth": _number(truth.mean()),
            "truth_se": _number(standard_error(truth)),
            "truths": {name: _number(values.mean()) for name, values in truths.items()},
            **paired_gain("truth_gain", truth, theirs, self.truths[0].span if self.truths else None),
            **paired_gain("proxy_gain", proxy, rival_proxy),
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
            "proxy_truth_correlation": _number(correlation(proxy, truth)),
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
                "truths": {name: _number(values[i]) for name, values in truths.items()},
                "kl": _number(exact[i]),
                "length": int(rollout.tokens.response_lengths[i]),
                "reference": rival.completions[i].response,
                "reference_finished": rival.completions[i].finished,
                "reference_proxy": _number(rival_proxy[i]),
                "reference_truth": _number(theirs[i]),
                "outlier": bool(is_outlier[i]) if self.outliers else None,
                **({"tokens": strip(policy.tokenizer, *ratios[i], c.response)} if by_token else {}),
            }
            for i, c in enumerate(rollout.completions)
        ]
        return Measurement(row, samples)

    def truth(self, policy: Network, prompts: Sequence[Prompt], answers: int, *purpose: str | int) -> np.ndarray:
        """The first truth of `answers` fresh answers to each prompt, SDs: [prompts, answers]."""
        repeated = [prompt for prompt in prompts for _ in range(answers)]
        completions = self.sample(policy, repeated, Draws.purpose(self.seed, "look", *purpose)).completions
        return self.truths[0](completions).reshape(len(prompts), answers)

    @torch.no_grad()
    def _figures(
        self, policy: Network, rollout: Rollout
    ) -> tuple[Mapping[str, np.ndarray], list[tuple[list[int], list[float]]]]:
        """By answer, nats, each [answers]: the KL by the exact sum at each position (Rao–Blackwell), its k1 estimate, the
        summed entropy, and −log of the answer's probability under the reference and the base model. And each answer's
        token ids with log π/π_ref of each.
        """
        tokens = rollout.tokens
        ratios: list[tuple[list[int], list[float]]] = [([], [])] * len(tokens)
        out = {name: np.zeros(len(tokens)) for name in ("kl", "k1", "entropy", "sft_nll", "base_nll")}
        for rows in micro_batches(tokens.lengths, self.micro_batch_tokens):
            part = tokens.take(rows).to(policy.device)
            mask = part.response_mask
            logits, anchor = (
                heads.response_logits(policy.model, part),
                heads.response_logits(self.reference.model, part),
            )
            ids = part.ids[mask]
            likely = lp.token_logprobs(anchor, ids, self.temperature)
            flats = {
                "kl": kl.exact(logits, anchor, self.temperature),
                "k1": lp.token_logprobs(logits, ids, self.temperature) - likely,
                "entropy": lp.entropy(logits, self.temperature),
                "sft_nll": -likely,
            }
            if self.base:
                plain = heads.response_logits(self.base.model, part)
                flats["base_nll"] = -lp.token_logprobs(plain, ids, self.temperature)
            for name, flat in flats.items():
                out[name][rows.numpy()] = heads.from_flat(flat, mask).double().sum(1).cpu().numpy()
            sizes = mask.sum(1).tolist()
            for row, own, k1 in zip(rows.tolist(), ids.split(sizes), flats["k1"].split(sizes), strict=True):
                ratios[row] = (own.tolist(), k1.double().tolist())
        return out, ratios


def paired_gain(name: str, ours: np.ndarray, theirs: np.ndarray, span: float | None = None) -> dict[str, float | None]:
    """The policy's scores minus the reference's, paired by prompt: mean, standard error, test score; keys begin with `name`.

    span: as in `paired`.
    """
    test = paired(ours, theirs, span)
    return {name: _number(test.mean), f"{name}_se": _number(test.se), f"{name}_z": _number(test.z)}


def member_spread(ours: ScoredBatch, theirs: ScoredBatch) -> dict[str, Any]:
    """Mean SD between an ensemble's members on the policy's answers, and its ratio to that on the reference's.

    Empty for one reward model.
    """
    if "member_sd" not in ours.parts:
        return {}
    here, home = (float(scored.parts["member_sd"].mean()) for scored in (ours, theirs))
    return {"member_sd": _number(here), "member_sd_relative": _number(here / home if home > 0 else np.nan)}


def answer_statistics(rollout: Rollout) -> dict[str, Any]:
    """Length in tokens, share that ended by themselves, variety of the words, share that repeat the prompt."""
    words = [c.response.lower().split() for c in rollout.completions]
    return {
        "length": _number(rollout.tokens.response_lengths.double().mean().item()),
        "eos_rate": _number(float(np.mean([c.finished for c in rollout.completions]))),
        **{name: _number(value) for name, value in diversity.figures(words).items()},
        "unique": _number(len({c.response for c in rollout.completions}) / max(1, len(words))),
        "echo_rate": _number(float(np.mean([echoes(str(c.prompt), c.response) for c in rollout.completions]))),
    }


def feature_shifts(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`feature_shift` of the policy's answers against the reference's, from the samples of a measurement."""

    def answers(text: str, *others: str) -> list[ScoredAnswer]:
        finished, proxy, truth = others
        return [
            ScoredAnswer(
                row[text], row[finished], *(np.nan if row[key] is None else row[key] for key in (proxy, truth))
            )
            for row in samples
        ]

    ours = answers("response", "finished", "proxy", "truth")
    return feature_shift(ours, answers("reference", "reference_finished", "reference_proxy", "reference_truth"))


def echoes(prompt: str, response: str) -> bool:
    """Whether the answer repeats the prompt, word for word."""
    return bool(prompt.split()) and f" {' '.join(prompt.lower().split())} " in f" {' '.join(response.lower().split())} "


def _number(x: float) -> float | None:
    """Rounded for a file; None for what is not finite."""
    return round(float(x), 5) if np.isfinite(x) else None
