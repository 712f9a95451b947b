"""A random reward for the control run: how far does an optimiser drift on noise alone?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from trueward.records import Comparison, Completion, Score
from trueward.seeds import seed_for


class RandomReward:
    """A standard normal draw for each completion, whatever its text: mean 0 and SD 1, as the proxy has under SFT.

    Draws depend on the step and on the number of calls within it, so that a resumed loop gets the same ones.
    """

    def __init__(self, seed: int, step: Callable[[], int]) -> None:
        """step: returns the step that the loop is at."""
        self.seed, self.step = seed, step
        self.at, self.calls = -1, 0

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One draw for each completion."""
        if self.step() != self.at:
            self.at, self.calls = self.step(), 0
        draw = np.random.default_rng(seed_for(self.seed, "random reward", self.at, self.calls))
        self.calls += 1
        return [Score(score=float(x)) for x in draw.standard_normal(len(completions))]


def coin_flips(comparisons: Sequence[Comparison], seed: int) -> list[Comparison]:
    """The same comparisons with the preferred side drawn by a fair coin: the control for an optimiser of comparisons."""
    coins = np.random.default_rng(seed_for(seed, "coin flips")).random(len(comparisons)) < 0.5
    return [
        c.model_copy(update={"probability": 1 - c.probability}) if coin else c
        for c, coin in zip(comparisons, coins, strict=True)
    ]
