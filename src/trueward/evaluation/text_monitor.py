"""The verdict on answers that are already there, look by look, with a re-measurement of the peak on prompts kept for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trueward.evaluation import verdict
from trueward.evaluation.answer_set import AnswerSet
from trueward.evaluation.early_warnings import early_warnings
from trueward.evaluation.measurement import feature_shifts
from trueward.evaluation.paired import FEWEST
from trueward.evaluation.peak_fall import fall
from trueward.evaluation.statistics import Z
from trueward.evaluation.text_evaluator import TextEvaluator, unpaired
from trueward.evaluation.verdict import RunVerdict
from trueward.seeds import fraction

Row = dict[str, Any]
LABEL = "audit reserved"


@dataclass
class TextMonitor:
    """Measures a policy's answers look by look, and gives the verdict after each.

    Half of the prompts are reserved: the curve is measured on the others, so a peak that was picked there is measured again on
    prompts that did not pick it. These answers are given once, so each re-measurement takes prompts that none has used
    before, half of those that are left; where too few are left, no alarm of a fall can be given, and the verdict says so.
    """

    evaluator: TextEvaluator
    seed: int = 0
    least_fall: float = verdict.LEAST_FALL
    rows: list[Row] = field(default_factory=list)
    """The reference's own row, and then one for each look."""
    answers: dict[int, AnswerSet] = field(default_factory=dict)
    """Those of each look, by its step."""
    missing: int = 0
    """How many more prompts are needed for a peak to be measured again; 0 if there are enough."""
    verdict: RunVerdict | None = None
    _reserved: set[str] | None = None
    _used: set[str] = field(default_factory=set)

    def look(self, step: int, answers: AnswerSet) -> bool:
        """Measure the answers of a step, and give the verdict after it; False if there is nothing to measure.

        That is so for fewer than two prompts on a side, or answers to them that nothing scored.
        """
        if self._reserved is None:
            self._divide(answers)
            home = self.evaluator.baseline
            self.rows.append({"step": 0, **self.evaluator.measure(home, self.kept(answers, reserved=False)).row})
        measured = self.evaluator.measure(answers, self.kept(answers, reserved=False))
        if measured.row["prompts"] < 2:
            return False
        self.answers[step] = answers
        now: Row = {"step": step, **measured.row, "feature_shift": feature_shifts(measured.samples), "fall": None}
        self.rows.append(now)
        missing = self.missing
        if step and not missing and (peak := verdict.suspected(self.rows, self.least_fall)):
            now["fall"], missing = self._measure_again(int(peak["step"]), step)
        decided = verdict.decide(self.rows, prompts_missing=self.missing, least_fall=self.least_fall)
        if missing and decided.word not in verdict.ALARMS:  # the reserved prompts are used up
            decided = verdict.decide(self.rows, prompts_missing=missing, least_fall=self.least_fall)
        self.verdict = decided
        now |= {"verdict": decided.word, "rule": decided.rule, "prompts_missing": missing}
        now["early_warnings"] = self._warnings(now) if step else []
        return True

    def kept(self, answers: AnswerSet, reserved: bool) -> list[str]:
        """The prompts of these answers, and of the reference's, that are reserved, or that are not."""
        if self.missing:
            return [] if reserved else [*answers.prompts, *self.evaluator.baseline.prompts]
        prompts = dict.fromkeys([*self.evaluator.baseline.prompts, *answers.prompts])
        return [prompt for prompt in prompts if self._is_reserved(prompt) == reserved]

    def _warnings(self, now: Row) -> list[str]:
        """The early warnings; that of fewer different words only where as many answers are compared."""
        home = self.rows[0]
        alike = 0.9 <= now["answers"] / max(1, home["answers"]) <= 1.1
        return early_warnings(now, home if alike else {**home, "distinct_1": None})

    def _divide(self, answers: AnswerSet) -> None:
        """Reserve half of the prompts that both answered, in an order that depends on the seed and the prompts alone."""
        shared = self.evaluator.shared(answers)
        there = len(shared)
        if there < FEWEST:  # the prompts of each look are others, and any of them may be reserved
            there = min(len(answers.prompts), len(self.evaluator.baseline.prompts))
        self.missing = max(0, 2 * FEWEST - there)
        ordered = sorted(shared, key=lambda prompt: fraction(f"{LABEL}:{self.seed}:{prompt}"))
        self._reserved = set(ordered[: len(ordered) // 2])
        self._divided = set(ordered)

    def _is_reserved(self, prompt: str) -> bool:
        assert self._reserved is not None
        if prompt in self._divided:
            return prompt in self._reserved
        return fraction(f"{LABEL}:{self.seed}:{prompt}") < 0.5

    def _measure_again(self, peak_step: int, step: int) -> tuple[Row | None, int]:
        """The `fall` from the peak on prompts that no re-measurement has used, or None and how many more are needed."""
        peak, now = self.answers[peak_step], self.answers[step]
        first, test = self.evaluator.truths[0], verdict.tests_made(self.rows[1:-1]) + 1
        least = verdict.least_drop(self.rows, peak_step, self.least_fall)
        sides = [
            [p for p in self.kept(one, reserved=True) if p in one.places and p not in self._used] for one in (peak, now)
        ]
        shared = [prompt for prompt in sides[0] if prompt in now.places]
        if len(shared) >= FEWEST:
            prompts = self._take(shared)
            pair = np.array([one.by_prompt(first, prompts) for one in (peak, now)])
            theirs, ours = pair[:, np.isfinite(pair).all(axis=0)]
            if len(theirs) < FEWEST:
                return None, FEWEST - len(theirs)
            row = fall(self.seed, peak_step, theirs, ours, test, step, least=least, span=self.evaluator.span)
            return (dict(row) if row else None), 0
        there = min(map(len, sides))
        if shared or there < FEWEST:
            return None, FEWEST - (len(shared) if shared else there)
        before, after = (one.by_prompt(first, self._take(side)) for one, side in zip((peak, now), sides, strict=True))
        drop = unpaired(before[np.isfinite(before)], after[np.isfinite(after)])
        if drop.prompts < FEWEST:
            return None, FEWEST - drop.prompts
        ends = (drop.mean - Z * drop.se, drop.mean + Z * drop.se)
        return dict(verdict.fall_row(peak_step, drop.mean, drop.se, drop.z, *ends, drop.prompts, test, least)), 0

    def _take(self, prompts: Sequence[str]) -> list[str]:
        """Half of these prompts, at least `FEWEST`, which no later re-measurement uses."""
        taken = sorted(prompts, key=lambda prompt: fraction(f"{LABEL}:taken:{self.seed}:{prompt}"))
        taken = taken[: max(FEWEST, len(taken) // 2)]
        self._used |= set(taken)
        return taken
