"""A judge as a truth that compares: each answer beside the reference's to the same prompt, in both orders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trueward.records import Completion
from trueward.scorers.judge.llm_judge import LlmJudge


@dataclass(frozen=True)
class JudgedTruth:
    """A truth from −1 (the reference's answer is better for sure) to 1; 0 is a tie, and what the reference's own is worth."""

    name: str
    judge: LlmJudge
    compares: ClassVar[bool] = True
    span: ClassVar[float] = 1.0
    """No difference is farther from 0."""

    def __call__(self, completions: Sequence[Completion]) -> np.ndarray:
        """What the reference's own answers are worth: 0, without a question."""
        return np.zeros(len(completions))

    def beside(self, completions: Sequence[Completion], rivals: Sequence[Sequence[Completion]]) -> np.ndarray:
        """2p − 1 for each completion, [n], p the probability that it is better than the first of its rivals; NaN without a
        judgement.

        rivals: lists of the reference's answers, each with one to every completion's prompt. Two equal answers are a tie and
        cost nothing.
        """
        out = np.zeros(len(completions))
        pairs = list(zip(completions, rivals[0], strict=True))
        different = [i for i, (one, other) in enumerate(pairs) if one.response != other.response]
        preferences = self.judge.compare([pairs[i] for i in different]) if different else []
        for i, preference in zip(different, preferences, strict=True):
            out[i] = np.nan if preference.logit is None else np.tanh(preference.logit / 2)
        return out
