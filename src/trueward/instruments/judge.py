"""The verdict of a run at each look, where a peak that seems lost is measured again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from trueward.instruments import verdict
from trueward.instruments.gauge import Gauge
from trueward.instruments.paired import by_prompt, paired
from trueward.instruments.signs import early_signs
from trueward.instruments.statistics import bootstrap
from trueward.instruments.verdict import Verdict
from trueward.models.loading import Network
from trueward.models.schedule import generator, seed_for
from trueward.records import Prompt

ANSWERS = 2  # to each prompt, of either policy, when a peak is measured again
Row = Mapping[str, Any]


class Judge:
    """Judges a run at each look. Costs nothing until the truth seems to fall; then both policies answer once more.

    best: the checkpoint of the highest truth so far. prompts: all held-out ones; `look_prompts`: how many of them, from the
    first on, each look uses. examined: the reward model's examination, if there was one. least_fall: the share of the gain
    at the peak that a fall has to take back to count.
    """

    def __init__(
        self,
        gauge: Gauge,
        policy: Network,
        best: Callable[[], Network],
        prompts: Sequence[Prompt],
        look_prompts: int,
        examined: Row | None = None,
        least_fall: float = verdict.LEAST_FALL,
    ) -> None:
        self.gauge, self.policy, self.best, self.examined = gauge, policy, best, examined
        self.prompts, self.most, self.least_fall = prompts, look_prompts, least_fall

    def __call__(self, looks: Sequence[Row], ratio_first: float | None = None) -> tuple[dict[str, Any], Verdict]:
        """What goes into the last look's row, and the verdict after it. `looks`: rows, the first one of step 0."""
        now = {**looks[-1], "fall": None}
        before = [row for row in looks[:-1] if row["step"]]
        if now["step"] and (peak := verdict.suspected([*looks[:-1], now], self.least_fall)):
            least = verdict.least_drop(looks, int(peak["step"]), self.least_fall)
            now["fall"] = self.measure_again(int(peak["step"]), now["step"], verdict.tests_made(before) + 1, least)
        found = verdict.judge([*looks[:-1], now], examined=self.examined, ratio_first=ratio_first)
        signs = early_signs(now, looks[0]) if now["step"] else []
        return {"fall": now["fall"], "verdict": found.word, "rule": found.rule, "early_signs": signs}, found

    def measure_again(self, peak_step: int, step: int, test: int, least: float = 0.0) -> Row:
        """The checkpoint of the peak and the present policy, both on fresh answers to prompts that no look has used."""
        prompts = self.unused(step)
        theirs = self.gauge.truth(self.best(), prompts, ANSWERS, "fall", step, "peak")
        ours = self.gauge.truth(self.policy, prompts, ANSWERS, "fall", step, "policy")
        return fall(self.gauge.seed, peak_step, theirs, ours, test, step, least=least)

    def unused(self, step: int) -> list[Prompt]:
        """As many held-out prompts as a look has: those that the looks leave, filled up from those that they use."""
        left = self.prompts[self.most :]
        order = torch.randperm(len(left), generator=generator(self.gauge.seed, "look", "fall", step))
        return [*(left[i] for i in order.tolist()), *self.prompts[: self.most]][: self.most]


def fall(
    seed: int, peak_step: int, peak: np.ndarray, now: np.ndarray, test: int, *where: str | int, least: float = 0.0
) -> Row:
    """The test of a fall from fresh scores of both, [prompts] or [prompts, answers], SDs; one below `least` is none."""
    found = paired(peak, now)
    low, high = bootstrap(by_prompt(peak) - by_prompt(now), seed_for(seed, "fall", *where))
    return verdict.fall_row(peak_step, found.mean, found.se, found.z, low, high, found.prompts, test, least)
