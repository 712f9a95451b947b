"""The verdict of a run at each evaluation, with a re-measurement of the peak where the truth seems to have fallen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from trueward.evaluation import verdict
from trueward.evaluation.cross_check import cross_check_warning
from trueward.evaluation.early_warnings import early_warnings
from trueward.evaluation.evaluator import Evaluator
from trueward.evaluation.peak_fall import fall
from trueward.evaluation.truth import span_between
from trueward.evaluation.truth_values import recounted
from trueward.evaluation.verdict import RunVerdict
from trueward.models.network import Network
from trueward.records import Prompt
from trueward.seeds import generator

LOW_RATIO = 0.2  # in bfloat16, abs(ρ − 1) of the worst token that may be rounding
ANSWERS = 2  # of either policy to each prompt, when a peak is measured again
Row = Mapping[str, Any]


class VerdictMonitor:
    """Gives the verdict at each evaluation. It samples only if the truth seems to have fallen: then both policies answer again.

    best: loads the checkpoint of the highest truth so far. reserved: prompts that no evaluation uses; step_prompts: how many of
    them are answered at most when a peak is measured again; missing: how many more are needed for that, if there are too few.
    examined: the reward model's accuracy on held-out comparisons with its interval, if it was measured. least_fall: the share
    of the gain at the peak that a fall has to undo to count.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        policy: Network,
        best: Callable[[], Network],
        reserved: Sequence[Prompt],
        step_prompts: int,
        missing: int = 0,
        examined: Row | None = None,
        least_fall: float = verdict.LEAST_FALL,
    ) -> None:
        self.evaluator, self.policy, self.best, self.examined = evaluator, policy, best, examined
        self.reserved, self.most, self.missing, self.least_fall = reserved, step_prompts, missing, least_fall

    def __call__(
        self, evaluations: Sequence[Row], ratio_first: float | None = None
    ) -> tuple[dict[str, Any], RunVerdict]:
        """Fields for the row of the last evaluation, and the verdict after it. evaluations: rows, the first one of step 0."""
        now = {**evaluations[-1], "fall": None}
        before = [row for row in evaluations[:-1] if row["step"]]
        peak = verdict.suspected([*evaluations[:-1], now], self.least_fall) if now["step"] else None
        if peak and not self.missing:
            least = verdict.least_drop(evaluations, int(peak["step"]), self.least_fall)
            now["fall"] = self.measure_again(int(peak["step"]), now["step"], verdict.tests_made(before) + 1, least)
        decided = verdict.decide(
            [*evaluations[:-1], now],
            examined=self.examined,
            ratio_first=ratio_first,
            prompts_missing=self.missing,
            least_fall=self.least_fall,
        )
        signs = early_warnings(now, evaluations[0]) if now["step"] else []
        if alarm := cross_check_warning([*before, now]) if now["step"] else "":
            signs.append(alarm)
        told: dict[str, Any] = {"verdict": decided.word, "rule": decided.rule, "prompts_missing": self.missing}
        if now["fall"] and now.get("judges"):  # measuring again has cost calls
            told["judges"] = recounted(self.evaluator.truths, now["judges"])
        return {"fall": now["fall"], **told, "early_warnings": signs}, decided

    def measure_again(self, peak_step: int, step: int, test: int, least: float = 0.0) -> Row | None:
        """The `fall` of the present policy from the peak's checkpoint, both on fresh answers to reserved prompts."""
        prompts = self.drawn(step)
        theirs = self.evaluator.truth(self.best(), prompts, ANSWERS, "fall", step, "peak")
        ours = self.evaluator.truth(self.policy, prompts, ANSWERS, "fall", step, "policy")
        span = span_between(self.evaluator.truths[0])
        return fall(self.evaluator.seed, peak_step, theirs, ours, test, step, least=least, span=span)

    def drawn(self, step: int) -> list[Prompt]:
        """As many reserved prompts as an evaluation uses, or all if there are fewer, in a random order."""
        order = torch.randperm(len(self.reserved), generator=generator(self.evaluator.seed, "look", "fall", step))
        return [self.reserved[i] for i in order.tolist()[: self.most]]


def first_ratio(steps: Sequence[Row]) -> float | None:
    """`val/ratio_first` of a loop's first step for the verdict; None if there is none, or it is bfloat16's rounding.

    Products in bfloat16 round differently beside other rows, so there single tokens' ratios are a few hundredths off.
    """
    if not steps or (ratio := steps[0].get("val/ratio_first")) is None:
        return None
    return None if "importance/deviation" in steps[0] and abs(ratio) <= LOW_RATIO else float(ratio)
