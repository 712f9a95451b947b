"""A truth: a scorer that is never optimised, on its scale under the reference policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trueward.records import Completion
from trueward.scorers.scorer import Scale, Scorer, bounds, scores


@dataclass(frozen=True)
class Truth:
    """A scorer that is never optimised, and its scale under the reference policy."""

    name: str
    scorer: Scorer
    scale: Scale

    @property
    def span(self) -> float | None:
        """The highest possible score less the lowest, SDs; None where nothing bounds them (`scorer.bounds`)."""
        ends = bounds(self.scorer)
        return None if ends is None else (ends[1] - ends[0]) / self.scale.sd

    def __call__(self, completions: Sequence[Completion]) -> np.ndarray:
        """The scores of completions, SDs, [n]. `ValueError` for one outside of the scorer's bounds."""
        raw, ends = scores(self.scorer, completions), bounds(self.scorer)
        if ends and len(raw) and not (ends[0] <= raw.min() and raw.max() <= ends[1]):
            wrong = raw.min() if raw.min() < ends[0] else raw.max()
            raise ValueError(
                f"evaluation.truths: {self.name} scored {wrong:g}, outside of its bounds, {ends[0]:g} to {ends[1]:g}"
            )
        return self.scale.apply(raw)
