"""A scorer under test: its numbers, with what it failed to score counted, and the time and the cost of its calls."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trueward.records import Completion, Score
from trueward.scorers.custom import FunctionScorer
from trueward.scorers.scorer import ABSTAINED, Scorer

FAILED = "failed"
Reading = tuple[float, str]
"""A score, or NaN and why there is none."""


@dataclass
class AuditedScorer:
    """Calls a scorer. What raises for a batch is asked answer by answer, so that one bad answer hides no other.

    retries: whether it is; a judge that is down is not asked again for each.
    """

    name: str
    scorer: Scorer
    retries: bool = True
    calls: int = 0
    answers: int = 0
    seconds: float = 0.0
    cost: float = 0.0
    missing: Counter[str] = field(default_factory=Counter)
    """Answers without a finite score, by reason."""
    first_error: str = ""
    """The first error that the scorer raised for a single answer."""

    def __call__(self, completions: Sequence[Completion]) -> np.ndarray:
        """The scores, float64 [n]; NaN where there is none."""
        if not completions:
            return np.zeros(0)
        readings = self._read(completions)
        self.missing.update(why for _, why in readings if why)
        return np.array([value for value, _ in readings])

    def required(self, completions: Sequence[Completion]) -> np.ndarray:
        """The same. `ValueError` in one line if not one answer has a score."""
        scores = self(completions)
        if not np.isfinite(scores).any():
            why = self.first_error or f"{self.name}: {', '.join(self.missing)}"
            raise ValueError(f"none of {len(scores)} answers got a finite score: {why}")
        return scores

    def table(self) -> dict[str, Any]:
        """Calls, answers, seconds, cost, and what was missing."""
        return {
            "calls": self.calls,
            "answers": self.answers,
            "seconds": round(self.seconds, 4),
            "seconds_per_answer": self.seconds / max(1, self.answers),
            "cost": self.cost,
            "missing": dict(self.missing),
            "error": self.first_error,
        }

    def _read(self, completions: Sequence[Completion]) -> list[Reading]:
        try:
            return self._timed(completions)
        except ValueError as error:
            if not self.retries:
                raise
            if len(completions) == 1:
                self.first_error = self.first_error or str(error)
                return [(math.nan, "raised an error")]
        return [reading for one in completions for reading in self._read([one])]

    def _timed(self, completions: Sequence[Completion]) -> list[Reading]:
        begun = time.perf_counter()
        try:
            if isinstance(self.scorer, FunctionScorer):
                return [self._value(value, i) for i, value in enumerate(self._values(self.scorer, completions))]
            return [self._score(score) for score in self.scorer(completions)]
        finally:
            self.seconds += time.perf_counter() - begun
            self.calls, self.answers = self.calls + 1, self.answers + len(completions)

    def _values(self, scorer: FunctionScorer, completions: Sequence[Completion]) -> list[Any]:
        """What the function returned, NaN and infinities too, which a run would refuse."""
        values = scorer.function(completions)
        is_list = hasattr(values, "__iter__") and not isinstance(values, str | bytes | dict)
        listed = list(values) if is_list else []
        if len(listed) != len(completions):
            got = f"{len(listed)} scores" if is_list else f"a {type(values).__name__}"
            raise ValueError(f"{self.name} returned {got} for {len(completions)} completions; expected one number each")
        return listed

    def _value(self, value: Any, at: int) -> Reading:
        if value is None:
            return math.nan, "None"
        if isinstance(value, Score):
            return self._score(value)
        try:
            return _finite(float(value))
        except (TypeError, ValueError):
            raise ValueError(
                f"{self.name} returned a {type(value).__name__} for completion {at}; expected a number or a Score"
            ) from None

    def _score(self, score: Score) -> Reading:
        self.cost += score.cost
        if ABSTAINED in score.parts:
            return math.nan, "None"
        if any(
            value for name, value in score.parts.items() if name.rpartition(".")[2] == FAILED
        ):  # of a mixture's part too
            return math.nan, score.note or FAILED
        return _finite(score.score)


def _finite(value: float) -> Reading:
    if math.isfinite(value):
        return value, ""
    return math.nan, "NaN" if math.isnan(value) else "infinite"
