"""What one instrument says at one step: for each item, the policy's score less the reference's.

A scorer gives each answer a number, a comparator (a judge, a person) sets two answers side by side, a suite (lm-eval, Inspect)
scores items of its own. All three end in this table, so that one sequential test reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trueward.evaluation.paired import FEWEST, by_prompt, needed, paired


@dataclass(frozen=True)
class PairedItems:
    """The differences of an instrument at one step. An item is one observation: a prompt, or a question of a suite.

    items: their ids, [n]. differences: the policy's score less the reference's, [n]; NaN where it was not measured. span: no
    difference is farther from 0, where that is known: then the test holds for any distribution within (`betting`).
    """

    name: str
    items: tuple[str, ...]
    differences: np.ndarray
    span: float | None = None

    def __post_init__(self) -> None:
        assert self.differences.shape == (len(self.items),), f"{self.differences.shape}: one difference an item"

    @classmethod
    def between(
        cls, name: str, items: Sequence[str], ours: np.ndarray, theirs: np.ndarray, span: float | None = None
    ) -> PairedItems:
        """From the scores of both: each [n] or [n, answers], whose answers are averaged; NaN where one is missing."""
        return cls(name, tuple(items), by_prompt(ours) - by_prompt(theirs), span)

    @property
    def missing(self) -> int:
        """Items that were not measured: no figure counts them."""
        return int((~np.isfinite(self.differences)).sum())

    def row(self) -> dict[str, Any]:
        """`gain`, `gain_se`, `gain_z` (`paired`, over the measured items), `items`, `missing`; None where unknown."""
        known = self.differences[np.isfinite(self.differences)]
        figures: dict[str, float | None] = {"gain": None, "gain_se": None, "gain_z": None}
        if len(known):
            test = paired(known, np.zeros(len(known)), self.span)
            values = {"gain": test.mean, "gain_se": test.se, "gain_z": test.z}
            figures = {key: round(float(x), 5) if np.isfinite(x) else None for key, x in values.items()}
        return {**figures, "items": len(known), "missing": self.missing}


def significant(rows: Sequence[Mapping[str, Any]], side: Literal["above", "below"], alpha: float) -> bool:
    """Whether any of an instrument's rows, in the order they were made, was surely on this side of the reference.

    The k-th row is tested at α/(k(k+1)), so that the chance of any false yes is at most alpha. Rows of fewer than
    `FEWEST` measured items are not tested, and count.
    """
    sign = 1 if side == "above" else -1
    return any(
        row["gain_z"] is not None and row["items"] >= FEWEST and sign * row["gain_z"] >= needed(alpha, k)
        for k, row in enumerate(rows, 1)
    )
