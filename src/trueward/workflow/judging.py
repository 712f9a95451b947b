"""The verdict of a run: at each look, where a peak that seems lost is measured again, and after the final evaluation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward.artifacts import Artifact
from trueward.driver import Judgement, read_log
from trueward.instruments import verdict
from trueward.instruments.gauge import Gauge
from trueward.instruments.paired import by_prompt, paired
from trueward.instruments.signs import early_signs
from trueward.instruments.statistics import bootstrap
from trueward.models.loading import Network
from trueward.models.schedule import generator, seed_for
from trueward.records import Prompt
from trueward.workflow.context import Context
from trueward.workflow.measuring import held_out

ANSWERS = 2  # to each prompt, of either policy, when a peak is measured again
Row = Mapping[str, Any]


class Judge:
    """Judges a run at each look. Costs nothing until the truth seems to fall; then both policies answer once more."""

    def __init__(
        self, context: Context, prepared: Artifact, gauge: Gauge, policy: Network, directory: Path, examined: Row
    ) -> None:
        self.context, self.prepared, self.gauge = context, prepared, gauge
        self.policy, self.directory, self.examined = policy, directory, examined

    def __call__(self, looks: list[dict[str, Any]]) -> Judgement:
        now = looks[-1]
        now["fall"] = None
        after = [row for row in looks if row["step"]]
        if after and (peak := verdict.suspected(after)):
            now["fall"] = self.measure_again(int(peak["step"]), now["step"], verdict.tests_made(after) + 1)
        found = verdict.judge(looks, examined=self.examined, ratio_first=ratio_first(self.directory))
        signs = early_signs(now, looks[0]) if now["step"] else []
        row = {"fall": now["fall"], "verdict": found.word, "rule": found.rule, "early_signs": signs}
        stops = self.context.recipe.evaluation.stop_when == "truth falls" and found.word in verdict.ALARMS
        return Judgement(row, found.word, f"{found.word}: {found.rule}" if stops else "")

    def measure_again(self, peak_step: int, step: int, test: int) -> Row:
        """The checkpoint of the peak and the present policy, both on fresh answers to prompts that no look has used."""
        prompts = self.prompts(step)
        best = self.context.policy(self.directory / "best")
        theirs = self.gauge.truth(best, prompts, ANSWERS, "fall", step, "peak")
        ours = self.gauge.truth(self.policy, prompts, ANSWERS, "fall", step, "policy")
        return fall(self.context.recipe.seed, peak_step, theirs, ours, test, step)

    def prompts(self, step: int) -> list[Prompt]:
        """As many held-out prompts as a look has: those that the looks leave, filled up from those that they use."""
        most = self.context.recipe.evaluation.look_prompts
        every = held_out(self.context, self.prepared)
        unused = every[most:]
        order = torch.randperm(len(unused), generator=generator(self.context.recipe.seed, "look", "fall", step))
        return [*(unused[i] for i in order.tolist()), *every[:most]][:most]


def fall(seed: int, peak_step: int, peak: np.ndarray, now: np.ndarray, test: int, *where: str | int) -> Row:
    """The test of a fall from fresh scores of both, [prompts] or [prompts, answers], SDs."""
    found = paired(peak, now)
    low, high = bootstrap(by_prompt(peak) - by_prompt(now), seed_for(seed, "fall", *where))
    return verdict.fall_row(peak_step, found.mean, found.se, found.z, low, high, found.prompts, test)


def ratio_first(directory: Path) -> float | None:
    """`val/ratio_first` of a loop's first step, where it has one."""
    path = directory / "metrics.jsonl"
    if not path.exists():
        return None
    with path.open(encoding="utf-8") as file:
        row = json.loads(file.readline() or "{}")
    value: float | None = row.get("val/ratio_first")
    return value


def final_fall(
    seed: int, policy: Artifact, rows: Mapping[str, Row], samples: Mapping[str, Sequence[Row]]
) -> Row | None:
    """The last policy against the best checkpoint on the final evaluation's answers, fresh for both."""
    best_step, truth = policy.summary["best_step"], rows["policy"]["truth"]
    if "best" not in samples or truth is None or best_step in (None, policy.summary["steps"]):
        return None
    peak, now = (np.array([s["truth"] for s in samples[name]], dtype=np.float64) for name in ("best", "policy"))
    test = verdict.tests_made(read_log(policy.path / "evaluations.jsonl")) + 1
    return fall(seed, best_step, peak, now, test, "evaluation")


def run_verdict(
    policy: Artifact, reward: Artifact, evaluation: Artifact, control: Artifact | None = None
) -> verdict.Verdict:
    """The verdict of the whole run: on all looks, with the final evaluation as the last one."""
    rows, steps = evaluation.summary["policies"], max(1, policy.summary["steps"])
    history = read_log(policy.path / "evaluations.jsonl") or [{**rows["sft"], "step": 0}]
    now = {**rows["policy"], "step": steps, "final": True, "fall": evaluation.summary["fall"]}
    return verdict.judge(
        [*history, now],
        examined=reward.summary,
        ratio_first=ratio_first(policy.path),
        control=control.summary if control else None,
    )


def wants_control(context: Context, found: verdict.Verdict) -> bool:
    """Whether to ask how far a random reward goes: only of a run whose truth did not move, and that trained at all."""
    recipe = context.recipe
    asked = recipe.evaluation.control == "unmoved" and recipe.policy.kind != "best_of_n"
    return asked and found.rule == verdict.UNMOVED
