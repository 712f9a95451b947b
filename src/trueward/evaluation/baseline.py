"""The reference policy's answers that all policies of a run are measured against: one baseline, one number for one gain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from trueward.evaluation.truth import AnyTruth
from trueward.records import Completion
from trueward.scorers.scorer import ScoredBatch, Scorer

if TYPE_CHECKING:  # figures are read without torch
    from trueward.batches import Rollout


@dataclass
class Baseline:
    """Several answers of the reference to each of some prompts, with their truths."""

    rollouts: list[Rollout]
    """One answer to each prompt in each."""
    truths: Mapping[str, np.ndarray]
    """By name, SDs: [prompts, answers]; NaN where a judge gave none."""
    _scored: dict[str, tuple[Scorer, ScoredBatch]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, rollouts: list[Rollout], truths: Sequence[AnyTruth]) -> Baseline:
        """Of rollouts of the same prompts in the same order."""
        baseline = cls(rollouts, {})
        baseline.truths = {t.name: baseline.by_prompt(t(baseline.completions)) for t in truths}
        return baseline

    @property
    def rivals(self) -> list[list[Completion]]:
        """The answers, a list for each rollout."""
        return [list(rollout.completions) for rollout in self.rollouts]

    @property
    def completions(self) -> list[Completion]:
        """All answers, rollout by rollout."""
        return [c for rollout in self.rollouts for c in rollout.completions]

    def by_prompt(self, values: np.ndarray) -> np.ndarray:
        """Values of `completions` [answers · prompts] as [prompts, answers]."""
        return values.reshape(len(self.rollouts), -1).T

    def scored(self, proxy: Scorer, role: str = "proxy") -> ScoredBatch:
        """The proxy's scores of `completions`; kept, until another proxy is given (a reward model that was fitted again).

        role: of the scorer, `proxy` or `second`, one of each.
        """
        if role not in self._scored or self._scored[role][0] is not proxy:
            self._scored[role] = proxy, ScoredBatch.of(proxy, self.completions)
        return self._scored[role][1]
