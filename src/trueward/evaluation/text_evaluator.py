"""Measures answers that are already there, beside the reference's answers to the same prompts: no model, no torch.

The figures are those of `evaluator.Evaluator` as far as texts and scores give them; lengths are words in place of tokens.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trueward.evaluation.answer_set import AnswerSet
from trueward.evaluation.lengths import correlation, matched_gain
from trueward.evaluation.measurement import Measurement, number, word_statistics
from trueward.evaluation.paired import FEWEST, Paired, normal_score, paired, skewness
from trueward.evaluation.statistics import standard_error
from trueward.evaluation.win_rate import mean_share

PROXY = "proxy"


@dataclass(frozen=True)
class TextEvaluator:
    """baseline: the reference's answers. truths: names of scores, the verdict's first. span: of the first, as in `paired`.

    All scores are in SDs of the reference's answers.
    """

    baseline: AnswerSet
    truths: Sequence[str]
    span: float | None = None

    def shared(self, answers: AnswerSet) -> list[str]:
        """The prompts that both answered, in the order of the baseline's."""
        return [prompt for prompt in self.baseline.prompts if prompt in answers.places]

    def measure(self, answers: AnswerSet, prompts: Sequence[str] | None = None) -> Measurement:
        """A row of figures, and a sample for each pair of answers to one prompt. prompts: those to compare on, if not all.

        Paired by prompt where `FEWEST` prompts are shared; else, where each side has as many, the means of the two sides'
        prompts are compared (`is_paired` is false): that holds if both are draws of the same kind of prompt.
        """
        wanted = None if prompts is None else set(prompts)
        shared = [prompt for prompt in self.shared(answers) if wanted is None or prompt in wanted]
        others = [prompt for prompt in answers.prompts if wanted is None or prompt in wanted]
        home = [prompt for prompt in self.baseline.prompts if wanted is None or prompt in wanted]
        is_paired = len(shared) >= FEWEST or min(len(others), len(home)) < FEWEST
        ours, theirs = (shared, shared) if is_paired else (others, home)
        mine, base = answers.take(ours), self.baseline.take(theirs)
        first = self.truths[0] if self.truths else ""
        names = [name for name in (first, PROXY) if name in answers.scores]
        test = {name: self._test(name, mine, base, is_paired) for name in names}
        gains: dict[str, Any] = {}
        for key, name in (("truth", first), (PROXY, PROXY)):
            gains |= _gain(key, test[name]) if name in test else _gain(key, None)
        is_reference = answers is self.baseline
        if is_reference:
            gains |= {f"{key}{end}": None for key in ("truth", PROXY) for end in ("_se", "_gain_se")}
        wins = self._wins(first, mine, base) if first in names and is_paired and not is_reference else None
        truth, proxy = (mine.scores.get(name, np.full(len(mine), np.nan)) for name in (first, PROXY))
        row = {
            **gains,
            "truths": self._truths(mine, base, is_paired),
            "truth_prompts": test[first].prompts if first in test else 0,
            **dict(zip(("win_rate", "win_rate_low", "win_rate_high"), wins or (None,) * 3, strict=True)),
            "length": number(mine.lengths.mean()) if len(mine) else None,
            **(word_statistics(mine.completions) if len(mine) else {}),
            "proxy_truth_correlation": number(correlation(proxy, truth)),
            "length_correlation": number(correlation(mine.lengths, proxy)),
            **_at_length({"proxy": PROXY, "truth": first}, mine, base),
            "prompts": len(ours),
            "answers": len(mine),
            "is_paired": is_paired,
            "prompts_not_shared": len(others) - len(shared),
        }
        return Measurement(row, self.samples(mine, shared) if is_paired else self.beside(mine, base))

    def test(self, name: str, ours: AnswerSet, theirs: AnswerSet, prompts: Sequence[str]) -> Paired:
        """A score of ours less theirs on these prompts, which both answered; those that weren't measured are left out."""
        pair = np.array([side.by_prompt(name, prompts) for side in (ours, theirs)])
        one, other = pair[:, np.isfinite(pair).all(axis=0)]
        if not len(one):
            return Paired(math.nan, math.nan, math.nan, 0)
        return paired(one, other, self.span if self.truths and name == self.truths[0] else None)

    def samples(self, ours: AnswerSet, prompts: Sequence[str]) -> list[dict[str, Any]]:
        """Answer beside answer to each of these prompts: the k-th of ours with the k-th of the reference's."""
        pairs = []
        for prompt in prompts:
            pairs += list(zip(ours.places[prompt], self.baseline.places[prompt], strict=False))
        return [_sample(ours, i, self.baseline, j, self.truths) for i, j in pairs]

    def beside(self, ours: AnswerSet, theirs: AnswerSet) -> list[dict[str, Any]]:
        """Answers to different prompts, one of each prompt: more of one prompt would make its own words a feature."""
        pairs = zip(ours.places.values(), theirs.places.values(), strict=False)
        return [_sample(ours, one[0], theirs, other[0], self.truths) for one, other in pairs]

    def _test(self, name: str, mine: AnswerSet, base: AnswerSet, is_paired: bool) -> Paired:
        if is_paired:
            return self.test(name, mine, base, mine.prompts)
        sides = [side.by_prompt(name, side.prompts) for side in (mine, base)]
        return unpaired(*(side[np.isfinite(side)] for side in sides))

    def _truths(self, mine: AnswerSet, base: AnswerSet, is_paired: bool) -> dict[str, float | None]:
        """Each truth's gain; empty where none of them was measured, which isn't the same as one that is no number."""
        means = {
            name: number(self._test(name, mine, base, is_paired).mean) if name in mine.scores else None
            for name in self.truths
        }
        return means if any(value is not None for value in means.values()) else {}

    def _wins(self, name: str, mine: AnswerSet, base: AnswerSet) -> list[float | None]:
        shares = []
        for prompt, rows in mine.places.items():
            one, other = mine.scores[name][rows][:, None], base.scores[name][base.places[prompt]][None, :]
            known = np.isfinite(one) & np.isfinite(other)
            if known.any():
                shares.append(float((((one > other) + 0.5 * (one == other))[known]).mean()))
        return [number(x) for x in mean_share(np.array(shares))]


def unpaired(ours: np.ndarray, theirs: np.ndarray) -> Paired:
    """The difference of the means of two independent samples, and its test: as `paired`, with the standard error of both.

    The skewness is that of the difference of means; the degrees of freedom are those of the smaller sample, which is the safe
    side. NaN with fewer than two on a side.
    """
    n = min(len(ours), len(theirs))
    if n < 2:
        return Paired(math.nan, math.nan, math.nan, n)
    mean = float(ours.mean() - theirs.mean())
    errors = [standard_error(side) for side in (ours, theirs)]
    se = math.hypot(*errors)
    skew = 0.0
    if se > 0:
        thirds = [float(skewness(x)) * e**3 / math.sqrt(len(x)) for x, e in zip((ours, theirs), errors, strict=True)]
        skew = (thirds[0] - thirds[1]) / se**3 * math.sqrt(n)
    return Paired(mean, se, float(normal_score(mean, se, skew, n)), n)


def _gain(key: str, test: Paired | None) -> dict[str, float | None]:
    mean, se, z = (test.mean, test.se, test.z) if test else (math.nan,) * 3
    values = {key: mean, f"{key}_se": se, f"{key}_gain": mean, f"{key}_gain_se": se, f"{key}_gain_z": z}
    return {name: number(value) for name, value in values.items()}


def _at_length(names: dict[str, str], mine: AnswerSet, base: AnswerSet) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for key, name in names.items():
        if name not in mine.scores or not len(mine) or not len(base):
            continue
        matched = matched_gain(mine.scores[name], base.scores[name], mine.lengths, base.lengths)
        figures |= {f"{key}_at_length": number(matched.gain), f"{key}_at_length_se": number(matched.error)}
    return figures


def _sample(ours: AnswerSet, i: int, theirs: AnswerSet, j: int, truths: Sequence[str]) -> dict[str, Any]:
    first = truths[0] if truths else ""

    def score(side: AnswerSet, name: str, at: int) -> float | None:
        return number(side.scores[name][at]) if name in side.scores else None

    one, other = ours.completions[i], theirs.completions[j]
    return {
        "prompt": str(one.prompt),
        "response": one.response,
        "finished": one.finished,
        "proxy": score(ours, PROXY, i),
        "truth": score(ours, first, i),
        "truths": {name: score(ours, name, i) for name in truths},
        "reference": other.response,
        "reference_finished": other.finished,
        "reference_proxy": score(theirs, PROXY, j),
        "reference_truth": score(theirs, first, j),
    }
