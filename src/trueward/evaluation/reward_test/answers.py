"""The answers that a reward is tested on, grouped by prompt, and the unit of its scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trueward.evaluation.clustered import numbered
from trueward.records import Completion

FLAT = 1e-9  # an SD below this is none


@dataclass(frozen=True)
class AnswerPool:
    """Answers, those to one prompt next to each other. source: where they come from, in words."""

    completions: tuple[Completion, ...]
    source: str

    @classmethod
    def of(cls, completions: Sequence[Completion], source: str) -> AnswerPool:
        """Grouped by prompt, and each text to a prompt once. `ValueError` for answers to fewer than two prompts."""
        by_prompt: dict[str, dict[str, Completion]] = {}
        for c in completions:
            by_prompt.setdefault(c.prompt.id, {}).setdefault(c.response, c)
        if len(by_prompt) < 2:
            raise ValueError(f"expected answers to at least 2 prompts, got {len(by_prompt)}")
        return cls(tuple(c for group in by_prompt.values() for c in group.values()), source)

    @cached_property
    def clusters(self) -> np.ndarray:
        """The number of each answer's prompt, int [n]."""
        return numbered([c.prompt.id for c in self.completions])

    @property
    def prompts(self) -> int:
        """The number of prompts."""
        return int(self.clusters[-1]) + 1

    @cached_property
    def others(self) -> list[str]:
        """For each answer one to another prompt: the first one to the next prompt."""
        first: dict[int, str] = {}
        for cluster, c in zip(self.clusters, self.completions, strict=True):
            first.setdefault(int(cluster), c.response)
        return [first[(int(cluster) + 1) % self.prompts] for cluster in self.clusters]

    def means(self, values: np.ndarray) -> np.ndarray:
        """The mean of values [n] for each prompt that has a finite one, [prompts]."""
        known = np.isfinite(values)
        sums = np.bincount(self.clusters[known], weights=values[known], minlength=self.prompts)
        counts = np.bincount(self.clusters[known], minlength=self.prompts)
        return np.asarray(sums[counts > 0] / counts[counts > 0])

    def centred(self, values: np.ndarray) -> np.ndarray:
        """values [n] less the mean of their prompt, where prompts have several answers; else less the mean of all."""
        if not self.several:
            return np.asarray(values - np.nanmean(values))
        known = np.isfinite(values)
        sums = np.bincount(self.clusters[known], weights=values[known], minlength=self.prompts)
        counts = np.maximum(1, np.bincount(self.clusters[known], minlength=self.prompts))
        return np.asarray(values - (sums / counts)[self.clusters])

    @cached_property
    def several(self) -> bool:
        """Whether at least half of the prompts have two answers or more."""
        return bool(2 * (np.bincount(self.clusters) > 1).sum() >= self.prompts)


@dataclass(frozen=True)
class Unit:
    """What a shift of 1 is: an SD of the scorer's own scores, or where these don't vary a point of its scale."""

    size: float
    of: str

    @classmethod
    def fit(cls, answers: AnswerPool, scores: np.ndarray, bounds: tuple[float, float] | None) -> Unit:
        """From the scores of the answers as they were written, [n]."""
        apart = answers.centred(scores)
        apart = apart[np.isfinite(apart)]
        freedom = len(apart) - (len(answers.means(scores)) if answers.several else 1)
        sd = float(np.sqrt((apart**2).sum() / freedom)) if freedom > 0 else 0.0
        if sd > FLAT:
            return cls(sd, "SD of its scores of answers to one prompt" if answers.several else "SD of its scores")
        if bounds is not None:
            return cls(bounds[1] - bounds[0], "shares of its range")
        return cls(1.0, "points of its score")
