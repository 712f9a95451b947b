"""Range and ties of the scores: a reward that says the same of most answers has little to teach."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np

from trueward.evaluation.reward_test.answers import AnswerPool

Figures = dict[str, Any]


def spread(answers: AnswerPool, scores: np.ndarray) -> Figures:
    """Lowest, highest, mean, distinct values and ties of the scores [n] of the answers as they were written.

    `ties`: the share of pairs of different answers to one prompt with the same score; of all pairs of answers where prompts
    have one each.
    """
    known = np.isfinite(scores)
    values, clusters = scores[known], answers.clusters[known]
    pairs = [
        (values[a], values[b])
        for a, b in combinations(range(len(values)), 2)
        if clusters[a] == clusters[b] or not answers.several
    ]
    return {
        "lowest": float(values.min()),
        "highest": float(values.max()),
        "mean": float(values.mean()),
        "distinct": len(np.unique(values)),
        "at_lowest": float((values == values.min()).mean()),
        "at_highest": float((values == values.max()).mean()),
        "pairs": len(pairs),
        "ties": float(np.mean([a == b for a, b in pairs])) if pairs else None,
    }
