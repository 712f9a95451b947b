"""A judge as a scorer: an answer's expected rating is its score (d-RLAIF, Lee et al. 2024, arXiv 2309.00267)."""

from __future__ import annotations

from collections.abc import Sequence

from trueward.records import Completion, Verdict
from trueward.scorers.judge.judge import Judge


class Rated:
    """Ratings from 1 to their number. The judge's failures are no scores: such an answer is worth `neutral`, so that it is
    neither liked nor disliked, and its part `failed` is 1. Without a `neutral`, the mean of the others.
    """

    def __init__(self, judge: Judge, neutral: float | None = None) -> None:
        self.judge, self.neutral = judge, neutral

    def __call__(self, completions: Sequence[Completion]) -> list[Verdict]:
        ratings = self.judge.rate(completions)
        known = [r.value for r in ratings if r.value is not None]
        if ratings and not known and self.neutral is None:
            raise ValueError(f"the judge {self.judge.settings.model} rated none of {len(ratings)} answers")
        neutral = self.neutral if self.neutral is not None else sum(known) / max(1, len(known))
        return [
            Verdict(score=neutral, parts={"failed": 1.0}, cost=r.cost, note=f"no judgement: {r.wrong}")
            if r.value is None
            else Verdict(score=r.value, parts={"failed": 0.0}, cost=r.cost)
            for r in ratings
        ]
