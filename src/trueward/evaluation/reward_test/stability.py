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
    """A row for each check: the largest difference in units, the share of answers that moved, whether it is stable.

    An answer that has a score in one call and none in the other moved, too: these are `unscored`.
    """
    completions = answers.completions
    few = np.linspace(0, len(completions) - 1, min(ALONE, len(completions))).astype(int)
    again = scorer(completions)
    backwards = scorer(completions[::-1])[::-1]
    alone = np.array([float(scorer([completions[i]])[0]) for i in few])
    return [
        _row(check, own, other, unit)
        for check, other, own in zip(CHECKS, (again, backwards, alone), (scores, scores, scores[few]), strict=True)
    ]


def _row(check: str, own: np.ndarray, other: np.ndarray, unit: Unit) -> dict[str, Any]:
    both, one = np.isfinite(own) & np.isfinite(other), np.isfinite(own) ^ np.isfinite(other)
    differences = np.abs((other - own)[both] / unit.size)
    unscored, answers = int(one.sum()), int(one.sum() + both.sum())
    moved = int((differences > ROUNDING_UNITS).sum()) + unscored
    return {
        "check": check,
        "answers": answers,
        "largest": float(differences.max(initial=0.0)),
        "unscored": unscored,
        "moved": moved / max(1, answers),
        "stable": moved == 0,
    }
