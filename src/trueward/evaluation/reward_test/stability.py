"""Do the same completions give the same scores: asked again, in another order, one at a time?"""

from __future__ import annotations

from typing import Any

import numpy as np

from trueward.evaluation.reward_test.answers import AnswerPool, Unit
from trueward.evaluation.reward_test.audited import AuditedScorer

ROUNDING_UNITS = 0.01  # a batch's padding moves a network's outputs by less
ALONE = 32  # answers that are scored one at a time
CHECKS = ("repeated call", "order of answers", "one at a time")


def stability(scorer: AuditedScorer, answers: AnswerPool, scores: np.ndarray, unit: Unit) -> list[dict[str, Any]]:
    """A row for each check: the largest difference in units, the share of answers that moved, whether it is stable."""
    completions = answers.completions
    few = np.linspace(0, len(completions) - 1, min(ALONE, len(completions))).astype(int)
    again = scorer(completions)
    backwards = scorer(completions[::-1])[::-1]
    alone = np.array([float(scorer([completions[i]])[0]) for i in few])
    return [
        _row(check, (other - own) / unit.size)
        for check, other, own in zip(CHECKS, (again, backwards, alone), (scores, scores, scores[few]), strict=True)
    ]


def _row(check: str, differences: np.ndarray) -> dict[str, Any]:
    known = np.abs(differences[np.isfinite(differences)])
    largest = float(known.max(initial=0.0))
    return {
        "check": check,
        "answers": len(known),
        "largest": largest,
        "moved": float((known > ROUNDING_UNITS).mean()) if len(known) else 0.0,
        "stable": largest <= ROUNDING_UNITS,
    }
