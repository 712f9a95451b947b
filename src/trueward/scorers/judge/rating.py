"""A judge as a scorer: an answer's expected rating is its score (d-RLAIF, Lee et al. 2024, arXiv 2309.00267)."""

from __future__ import annotations

from collections.abc import Sequence

from trueward.records import Completion, Score
from trueward.scorers.judge.llm_judge import LlmJudge


class JudgeScorer:
    """Scores from 1 to the number of ratings. A response that the judge failed to rate scores `neutral` (None: the mean of
    the others) and has the part `failed` = 1. `ValueError` if none was rated and `neutral` is None.
    """

    def __init__(self, judge: LlmJudge, neutral: float | None = None) -> None:
        self.judge, self.neutral = judge, neutral

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        ratings = self.judge.rate(completions)
        known = [r.value for r in ratings if r.value is not None]
        if ratings and not known and self.neutral is None:
            raise ValueError(f"the judge {self.judge.settings.model} rated none of {len(ratings)} answers")
        neutral = self.neutral if self.neutral is not None else sum(known) / max(1, len(known))
        return [
            Score(score=neutral, parts={"failed": 1.0}, cost=r.cost, note=f"no judgement: {r.wrong}")
            if r.value is None
            else Score(score=r.value, parts={"failed": 0.0}, cost=r.cost)
            for r in ratings
        ]
