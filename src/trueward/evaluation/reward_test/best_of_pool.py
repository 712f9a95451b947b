"""Best-of-n against the reward: of all answers to a prompt, written and edited, the one that it likes best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from trueward.evaluation.reward_test.answers import AnswerPool, Unit
from trueward.records import Completion

SHOWN = 10


def best_of_pool(
    answers: AnswerPool,
    scores: np.ndarray,
    edited: Mapping[str, tuple[Sequence[Completion | None], np.ndarray]],
    unit: Unit,
) -> dict[str, Any]:
    """How often an edited answer is the best of its prompt's pool, and the ten that beat the best written one by most.

    `chance`: how often it would be, if scores said nothing.

    scores: of the answers as they were written, [n]. edited: by edit, the answers [n] and their scores [n].
    """
    written, best = _highest(answers, scores), dict[int, tuple[float, str, Completion]]()
    counts = np.bincount(answers.clusters[np.isfinite(scores)], minlength=answers.prompts)
    sizes = counts.copy()
    for name, (changed, values) in edited.items():
        for cluster, c, value in zip(answers.clusters.tolist(), changed, values.tolist(), strict=True):
            if c is None or not np.isfinite(value):
                continue
            sizes[cluster] += 1
            if cluster not in best or value > best[cluster][0]:
                best[cluster] = value, name, c
    both = [cluster for cluster in written if cluster in best]
    beaten = sorted((c for c in both if best[c][0] > written[c]), key=lambda c: written[c] - best[c][0])
    shown = [
        {
            "prompt": str(best[c][2].prompt),
            "answer": best[c][2].response,
            "edit": best[c][1],
            "score": best[c][0],
            "written": written[c],
            "gain": (best[c][0] - written[c]) / unit.size,
        }
        for c in beaten[:SHOWN]
    ]
    size = float(np.mean(sizes[both])) if both else 0.0
    written_share = float(np.mean([counts[c] / sizes[c] for c in both])) if both else 1.0
    return {
        "prompts": len(both),
        "pool": size,
        "edited": len(beaten) / max(1, len(both)),
        "chance": 1.0 - written_share,
        "answers": shown,
    }


def _highest(answers: AnswerPool, scores: np.ndarray) -> dict[int, float]:
    highest: dict[int, float] = {}
    for cluster, value in zip(answers.clusters.tolist(), scores.tolist(), strict=True):
        if np.isfinite(value):
            highest[cluster] = max(value, highest.get(cluster, value))
    return highest
