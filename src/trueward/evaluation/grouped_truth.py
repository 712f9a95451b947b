"""A judge as a truth that ranks each answer among the reference's answers to the same prompt, in one call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trueward.records import Completion
from trueward.scorers.judge.llm_judge import LlmJudge
from trueward.scorers.judge.ranking import rank


@dataclass(frozen=True)
class GroupedTruth:
    """A truth from −1 (behind all of the reference's answers) to 1 (before all of them); an equal text is a tie."""

    name: str
    judge: LlmJudge
    compares: ClassVar[bool] = True
    span: ClassVar[float] = 1.0
    """No difference is farther from 0."""

    def __call__(self, completions: Sequence[Completion]) -> np.ndarray:
        """What the reference's own answers are worth: 0, without a question."""
        return np.zeros(len(completions))

    def beside(self, completions: Sequence[Completion], rivals: Sequence[Sequence[Completion]]) -> np.ndarray:
        """The share of its rivals that a completion is ranked before less that of those before it, [n]; NaN if not judged.

        rivals: lists of the reference's answers, each with one to every completion's prompt.
        """
        out = np.zeros(len(completions))
        groups, places, weights = [], [], []
        for i, completion in enumerate(completions):
            theirs = [answers[i] for answers in rivals]
            counts = {c.response: [r.response for r in theirs].count(c.response) for c in theirs}
            others = {c.response: c for c in theirs if c.response != completion.response}
            if others:
                groups.append([completion, *others.values()])
                places.append(i)
                weights.append(np.array([counts[text] for text in others]) / len(theirs))
        for i, weight, ranked in zip(places, weights, rank(self.judge, groups) if groups else [], strict=True):
            out[i] = np.nan if ranked.wins is None else float((weight * (2 * ranked.wins[0, 1:] - 1)).sum())
        return out
