"""The sign-flip test: is the mean of paired differences 0?

If an edit does not matter, an answer and its edited form could as well change places: the difference of their scores is as
likely to be d as −d. So each prompt's mean difference keeps its size and draws its sign (Fisher 1935, "The design of
experiments", section 21). The test is exact, whatever the distribution and however few the prompts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DRAWS = 9_999
WHOLE = 14  # prompts up to which all signs are tried
SLACK = 1e-9  # two sums that differ by less, as a share of the largest, are the same but for rounding


def p_value(differences: np.ndarray, seed: int) -> float:
    """Two-sided p of a mean of 0. differences: one for each prompt, [prompts]; 1 where there is none.

    Where not all signs are tried the observed ones count as a draw, so that the test stays exact (Phipson & Smyth 2010).
    """
    moved = differences[differences != 0]
    if not len(moved):
        return 1.0
    if len(moved) <= WHOLE:
        signs = 1.0 - 2.0 * (np.arange(2 ** len(moved))[:, None] >> np.arange(len(moved)) & 1)
    else:
        signs = 1.0 - 2.0 * np.random.default_rng(seed).integers(0, 2, (DRAWS, len(moved)))
    sums = np.abs(signs @ moved)
    extreme = int((sums >= abs(moved.sum()) - SLACK * np.abs(moved).sum()).sum())
    return extreme / len(sums) if len(moved) <= WHOLE else (1 + extreme) / (1 + len(sums))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values, in the same order: the chance that any true null among them falls below α is at most α.

    Holm 1979, whatever the tests' dependence.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, highest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
