"""Reads a run's directory, finished or not, into `DoctorInputs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trueward import config
from trueward.artifacts import MANIFEST, read_json
from trueward.evaluation.doctor import Diagnosis, DoctorInputs, diagnose
from trueward.evaluation.doctor_rules import RULES
from trueward.training.journal import EVALUATIONS, METRICS, read_log

Row = Mapping[str, Any]
STAGES = ("sft", "comparisons", "reward_model", "evaluation", "control")


def diagnose_run(run: Path) -> Diagnosis:
    """The diagnosis of a run. `ValueError` in one line if its recipe can't be read."""
    recipe = config.read(str(run / "recipe.toml")).table()
    summaries = {stage: _summary(run / stage) for stage in STAGES}
    policy, reward = run / "policy", run / "reward_model"
    return diagnose_stages(
        recipe, summaries, read_log(policy / EVALUATIONS), read_log(reward / METRICS), read_log(policy / METRICS)
    )


def diagnose_stages(
    recipe: Row,
    summaries: Mapping[str, Row],
    evaluations: Sequence[Row],
    reward_steps: Sequence[Row],
    policy_steps: Sequence[Row],
) -> Diagnosis:
    """The diagnosis from the stages' summaries and logs."""
    inputs = DoctorInputs(
        recipe=recipe,
        sft=summaries.get("sft") or {},
        comparisons=summaries.get("comparisons") or {},
        reward_model=summaries.get("reward_model") or {},
        policies=(summaries.get("evaluation") or {}).get("policies", {}),
        control=summaries.get("control") or {},
        history=evaluations,
        reward_steps=reward_steps,
        policy_steps=policy_steps,
    )
    return diagnose(inputs, RULES)


def _summary(stage: Path) -> dict[str, Any]:
    path = stage / MANIFEST
    summary: dict[str, Any] = read_json(path)["summary"] if path.is_file() else {}
    return summary
