"""Wrappers of a proxy: a scorer put on a scale, and one whose parts are logged with every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trueward.batches import Step
from trueward.records import Completion, Score
from trueward.scorers.scorer import LOGGED, Scale, Scorer, is_deterministic


class Normalized:
    """A scorer in SDs under the reference policy; the part `raw` is its score before that."""

    def __init__(self, scorer: Scorer, scale: Scale) -> None:
        """scale: mean and SD of the scorer's own scores under the reference policy."""
        self.scorer, self.scale = scorer, scale

    @property
    def deterministic(self) -> bool:
        """As the scorer."""
        return is_deterministic(self.scorer)

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The scorer's scores on the scale, with its parts."""
        scored = self.scorer(completions)
        scaled = self.scale.apply(np.array([v.score for v in scored], dtype=np.float64))
        return [
            v.model_copy(update={"score": float(s), "parts": {"raw": v.score, **v.parts}})
            for v, s in zip(scored, scaled, strict=True)
        ]


class PartsLogger:
    """A scorer that keeps its last scores, so that a step's metrics and rollouts can hold their parts."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.last: list[Score] = []

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The scores of the wrapped scorer, kept as `last`."""
        self.last = self.scorer(completions)
        return self.last

    def with_parts(self, loop: Callable[[], Iterator[Step]]) -> Iterator[Step]:
        """The loop's steps, each with the mean of every part as `reward/PART`, and with the parts of every completion."""
        for step in loop():
            verdicts, self.last = self.last, []
            if len(verdicts) != len(step.details):
                yield step
                continue
            names = dict.fromkeys(name for v in verdicts for name in v.parts if name not in LOGGED)
            means = {f"reward/{n}": sum(v.parts.get(n, 0.0) for v in verdicts) / len(verdicts) for n in names}
            details = [
                {**d, "parts": {n: round(x, 5) for n, x in v.parts.items()}, **({"note": v.note} if v.note else {})}
                for d, v in zip(step.details, verdicts, strict=True)
            ]
            yield replace(step, metrics={**step.metrics, **means}, details=details)


def raw(scorer: Any, value: float | None) -> float | None:
    """A mean of the proxy in the scorer's own units: for a verifier that scores 0 or 1, the share that is right."""
    scale = getattr(scorer, "scale", None)
    return None if value is None or scale is None else round(value * scale.sd + scale.mean, 5)
