"""How much of a reward a single property of the answers explains: whether they end, or how long they are.

A reward model that has learnt nothing else gives its scale to that property: β then buys endings or words, whatever else the
comparisons were about.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trueward.records import Completion

FEW = 20  # answers; of fewer, a squared correlation by chance is not small


def explained_shares(scores: np.ndarray, answers: Sequence[Completion]) -> dict[str, float | None]:
    """Shares of the scores' variance over the SFT policy's answers.

    scores: [n], one an answer. `explained_by_ending`: by whether the answer ended. `explained_by_length`: by the number of
    words, among the answers that ended. None where fewer than `FEW` answers can say, or they are all alike.
    """
    ended = np.array([answer.finished for answer in answers], dtype=bool)
    words = np.array([len(answer.response.split()) for answer in answers], dtype=np.float64)
    flat = np.asarray(scores, dtype=np.float64).reshape(-1)
    return {
        "explained_by_ending": _share(flat, ended.astype(np.float64)),
        "explained_by_length": _share(flat[ended], words[ended]),
    }


def _share(scores: np.ndarray, property_: np.ndarray) -> float | None:
    """Squared correlation, less what as many answers show by chance; None if it is not defined."""
    n = len(scores)
    if n < FEW or np.ptp(scores) == 0 or np.ptp(property_) == 0:
        return None
    share = float(np.corrcoef(scores, property_)[0, 1]) ** 2
    return round(max(0.0, 1 - (1 - share) * (n - 1) / (n - 2)), 4)
