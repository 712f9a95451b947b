"""A judge as a scorer: an answer's score is its expected rating (d-RLAIF, Lee et al. 2024, arXiv 2309.00267)."""

from __future__ import annotations

from collections.abc import Sequence

from trueward.records import Completion, Score
from trueward.scorers.judge.llm_judge import LlmJudge

FAILED = "failed"
"""The part, 1, of a score that stands for none: the judge gave no rating."""


class JudgeScorer:
    """Scores from 1 to the number of ratings, or `neutral` with the part `failed` = 1 where the judge gave no rating."""

    def __init__(self, judge: LlmJudge, neutral: float | None = None) -> None:
        """neutral: the score of a response without a rating; None: the mean of the others."""
        self.judge, self.neutral = judge, neutral
        self.bounds = (1.0, float(len(judge.settings.ratings)))
        """The lowest and the highest score."""

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion.

        `ValueError` if none was rated and `neutral` is None, unless the judge may fail (its `limit`).
        """
        ratings = self.judge.rate(completions)
        known = [r.value for r in ratings if r.value is not None]
        if ratings and not known and self.neutral is None and self.judge.limit is None:
            raise ValueError(f"the judge {self.judge.settings.model} rated none of {len(ratings)} answers")
        neutral = self.neutral if self.neutral is not None else sum(known) / max(1, len(known))
        return [
            Score(score=neutral, parts={FAILED: 1.0}, cost=r.cost, note=f"no judgement: {r.wrong}")
            if r.value is None
            else Score(score=r.value, parts={FAILED: 0.0}, cost=r.cost)
            for r in ratings
        ]
