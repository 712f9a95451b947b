"""The verdict of a run: after each evaluation, with a re-measurement of a peak that seems lost, and after the final one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from trueward.config import EvaluationConfig
from trueward.evaluation import verdict
from trueward.evaluation.cross_check import cross_check_warning, first_alarm
from trueward.evaluation.guard_test import GUARD_FELL, fallen
from trueward.evaluation.peak_fall import fall
from trueward.evaluation.verdict_monitor import VerdictMonitor, first_ratio
from trueward.pipeline.trained_policy import TrainedPolicy
from trueward.training.driver import EvalVerdict
from trueward.training.journal import METRICS, Journal

Row = Mapping[str, Any]


class RunMonitor:
    """Gives the verdict of a run after each evaluation, and ends it as `evaluation.stop_when` and `guard_stops` say.

    tell: prints the first alarm of the second reward model, which ends nothing.
    """

    def __init__(
        self,
        monitor: VerdictMonitor,
        evaluation: EvaluationConfig,
        journal: Journal,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.monitor, self.journal, self.tell = monitor, journal, tell
        self.stops, self.guard_stops = evaluation.stop_when == "truth falls", evaluation.guard_stops

    def __call__(self, evaluations: list[dict[str, Any]]) -> EvalVerdict:
        """The verdict after the last of these evaluations, with its fields for that row."""
        row, current = self.monitor(evaluations, first_ratio(self.journal.rows(METRICS)))
        after = [evaluation for evaluation in evaluations if evaluation["step"]]
        if after and first_alarm(after) == len(after) - 1:
            self.tell(f"step {after[-1]['step']}, an early warning: {cross_check_warning(after)}")
        fell = fallen(evaluations) if self.guard_stops else []
        stop = f"{GUARD_FELL}{' and '.join(fell)}, below SFT’s" if fell else ""
        if self.stops and current.word in verdict.ALARMS:
            stop = f"{current.word}: {current.rule}"
        return EvalVerdict(row, current.word, stop)


SAMPLE_DIGIT = 1e-5  # the last digit of a score in an evaluation's samples


def final_fall(
    policy: TrainedPolicy,
    evaluation: EvaluationConfig,
    seed: int,
    rows: Mapping[str, Row],
    samples: Mapping[str, Sequence[Row]],
    span: float | None = None,
) -> Row | None:
    """The last policy against the best checkpoint on the fresh answers of the final evaluation; None if there is no test.

    span: of the truth between two policies, as in `paired`.
    """
    best_step, truth = policy.summary["best_step"], rows["policy"]["truth"]
    if "best" not in samples or truth is None or best_step in (None, policy.summary["steps"]):
        return None
    peak, now = (np.array([s["truth"] for s in samples[name]], dtype=np.float64) for name in ("best", "policy"))
    if span is not None:
        span += SAMPLE_DIGIT  # two rounded scores may differ by so much more than exact ones
    evaluations = policy.evaluations
    least = verdict.least_drop(evaluations, best_step, evaluation.least_fall)
    return fall(seed, best_step, peak, now, verdict.tests_made(evaluations) + 1, "evaluation", least=least, span=span)


def run_verdict(
    policy: TrainedPolicy,
    reward: Row,
    final: Row,
    control: Row | None = None,
    least_fall: float = verdict.LEAST_FALL,
    *,
    proxy_is_truth: bool = False,
) -> verdict.RunVerdict:
    """The verdict of the whole run, with the final evaluation as the last. reward, final, control: summaries."""
    rows, steps = final["policies"], max(1, policy.summary["steps"])
    history = policy.evaluations or [{**rows["sft"], "step": 0}]
    now = {**rows["policy"], "step": steps, "final": True, "fall": final["fall"]}
    return verdict.decide(
        [*history, now],
        examined=reward,
        ratio_first=policy.ratio_first,
        control=control,
        prompts_missing=final.get("prompts_missing", 0),
        least_fall=least_fall,
        proxy_is_truth=proxy_is_truth,
    )
