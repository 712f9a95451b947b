"""Programs as proxies: a scorer put on a scale, and one whose parts are told with every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trueward.batches import Step
from trueward.records import Completion, Score
from trueward.scorers.scorer import LOGGED, Scale, Scorer


class Normalized:
    """A scorer in SDs under the reference policy; what it said before is the part `raw`."""

    def __init__(self, scorer: Scorer, scale: Scale) -> None:
        self.scorer, self.scale = scorer, scale

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        found = self.scorer(completions)
        scaled = self.scale.apply(np.array([v.score for v in found], dtype=np.float64))
        return [
            v.model_copy(update={"score": float(s), "parts": {"raw": v.score, **v.parts}})
            for v, s in zip(found, scaled, strict=True)
        ]


class PartsLogger:
    """A scorer that remembers its last verdicts, so that a step's figures and rollouts hold their parts."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer
        self.last: list[Score] = []

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        self.last = self.scorer(completions)
        return self.last

    def with_parts(self, loop: Callable[[], Iterator[Step]]) -> Iterator[Step]:
        """The steps, each with the mean of every part as `reward/PART`, and with the parts of every completion."""
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
    """A mean of the proxy before it was put on its scale: of a verifier that says 0 or 1, the share that is right."""
    scale = getattr(scorer, "scale", None)
    return None if value is None or scale is None else round(value * scale.sd + scale.mean, 5)
