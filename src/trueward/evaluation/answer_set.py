"""Answers of one policy to prompts, any number to each, with their scores. Texts and numbers alone: no model, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trueward.evaluation.paired import FEWEST
from trueward.records import Completion

SAME = 1e-9  # an SD below this is none


@dataclass(frozen=True, eq=False)
class AnswerSet:
    """`scores`: of each answer by name ("proxy", and the truths'), [n]; NaN where it wasn't measured."""

    completions: Sequence[Completion]
    scores: Mapping[str, np.ndarray]

    def __post_init__(self) -> None:
        for name, values in self.scores.items():
            assert values.shape == (len(self.completions),), f"{name}: {values.shape}: one score an answer"

    def __len__(self) -> int:
        return len(self.completions)

    @cached_property
    def places(self) -> dict[str, np.ndarray]:
        """The indices of the answers to each prompt, by the prompt's id, in the order of their first answers."""
        places: dict[str, list[int]] = {}
        for i, completion in enumerate(self.completions):
            places.setdefault(completion.prompt.id, []).append(i)
        return {prompt: np.array(rows) for prompt, rows in places.items()}

    @property
    def prompts(self) -> list[str]:
        """The prompts' ids."""
        return list(self.places)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Words of each answer, [n]."""
        return np.array([len(c.response.split()) for c in self.completions], dtype=np.float64)

    def take(self, prompts: Sequence[str]) -> AnswerSet:
        """The answers to these prompts alone, in their order; a prompt without any is passed over."""
        rows = [self.places[prompt] for prompt in prompts if prompt in self.places]
        at = np.concatenate(rows) if rows else np.array([], dtype=int)
        return AnswerSet([self.completions[i] for i in at], {name: values[at] for name, values in self.scores.items()})

    def by_prompt(self, name: str, prompts: Sequence[str]) -> np.ndarray:
        """The mean score of each of these prompts' answers, over those that were measured, [prompts]; NaN without any."""
        values = self.scores[name]
        means = np.full(len(prompts), np.nan)
        for i, prompt in enumerate(prompts):
            known = values[self.places[prompt]]
            known = known[np.isfinite(known)]
            means[i] = known.mean() if len(known) else np.nan
        return means

    def unit(self, name: str) -> tuple[float, float, str]:
        """Mean and SD of a score under this policy, and in words what the SD is of.

        The SD is that within a prompt where enough prompts have several answers, else over all answers; 1 where nothing varies.
        """
        values = self.scores[name]
        known = values[np.isfinite(values)]
        if not len(known):
            return 0.0, 1.0, "nothing was measured"
        groups = [values[rows] for rows in self.places.values() if len(rows) > 1 and np.isfinite(values[rows]).all()]
        mean = float(known.mean())
        if len(groups) >= FEWEST:
            sd = float(np.sqrt(np.mean([group.var(ddof=1) for group in groups])))
            if sd > SAME:
                return mean, sd, "SD within a prompt"
        sd = float(known.std(ddof=1)) if len(known) > 1 else 0.0
        return (mean, sd, "SD over all answers") if sd > SAME else (mean, 1.0, "the score itself, which doesn't vary")

    def scaled(self, units: Mapping[str, tuple[float, float]]) -> AnswerSet:
        """The same with each score as (score − mean) / SD."""
        return AnswerSet(
            self.completions,
            {name: (values - units[name][0]) / units[name][1] for name, values in self.scores.items()},
        )
