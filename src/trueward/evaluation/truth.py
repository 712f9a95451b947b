"""A truth: a scorer that is never optimised, on its scale under the reference policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from trueward.records import Completion
from trueward.scorers.judge.rating import FAILED
from trueward.scorers.scorer import Scale, Scorer, bounds


class AnyTruth(Protocol):
    """What is never optimised: a scorer (`Truth`), or a judge that compares (`JudgedTruth`)."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def compares(self) -> bool:
        """Whether it sets two answers side by side; a scorer sees one."""

    @property
    def span(self) -> float | None:
        """No difference of the policy's from the reference's is farther from 0; None where nothing bounds it."""

    def __call__(self, completions: Sequence[Completion]) -> np.ndarray:
        """What the reference's answers are worth, [n]; of a scorer, what any answers are."""

    def beside(self, completions: Sequence[Completion], rivals: Sequence[Sequence[Completion]]) -> np.ndarray:
        """What answers are worth, [n], beside the reference's to the same prompts; NaN where nothing was said."""


def span_between(truth: AnyTruth) -> float | None:
    """No difference between two policies is farther from 0; None where nothing bounds it.

    Of a judge that compares, twice its span: one policy may be before the reference's answers, and the other behind them.
    """
    return None if truth.span is None else (2 if truth.compares else 1) * truth.span


@dataclass(frozen=True)
class Truth:
    """A scorer that is never optimised, and its scale under the reference policy."""

    name: str
    scorer: Scorer
    scale: Scale
    compares: ClassVar[bool] = False
    """Whether it sets two answers side by side; a scorer sees one."""

    @property
    def span(self) -> float | None:
        """The highest possible score less the lowest, SDs; None where nothing bounds them (`scorer.bounds`)."""
        ends = bounds(self.scorer)
        return None if ends is None else (ends[1] - ends[0]) / self.scale.sd

    def __call__(self, completions: Sequence[Completion]) -> np.ndarray:
        """The scores of completions, SDs, [n]; NaN where a judge gave none.

        `ValueError` for one outside of the scorer's bounds.
        """
        if np.isnan(
            self.scale.mean
        ):  # a judge that rated none of the reference's answers: nothing has a place on its scale
            return np.full(len(completions), np.nan)
        scored, ends = self.scorer(completions), bounds(self.scorer)
        raw = np.array([np.nan if v.parts.get(FAILED) else v.score for v in scored], dtype=np.float64)
        known = raw[np.isfinite(raw)]
        if ends and len(known) and not (ends[0] <= known.min() and known.max() <= ends[1]):
            wrong = known.min() if known.min() < ends[0] else known.max()
            raise ValueError(
                f"evaluation.truths: {self.name} scored {wrong:g}, outside of its bounds, {ends[0]:g} to {ends[1]:g}"
            )
        return self.scale.apply(raw)

    def beside(self, completions: Sequence[Completion], rivals: Sequence[Sequence[Completion]]) -> np.ndarray:
        """The same; a truth that `compares` needs the reference's answers to the same prompts, `rivals`, too."""
        return self(completions)
