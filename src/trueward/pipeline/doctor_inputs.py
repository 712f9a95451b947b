"""What the doctor reads: a run's directory, finished or not, as `Left`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trueward import config
from trueward.artifacts import MANIFEST, read_json
from trueward.evaluation.doctor import Diagnosis, DoctorInputs, diagnose
from trueward.evaluation.doctor_rules import RULES
from trueward.training import driver


def diagnose_run(run: Path) -> Diagnosis:
    """The diagnosis of a run. `ValueError` in one line if its recipe can't be read."""
    recipe = config.read(str(run / "recipe.toml")).table()
    found = {stage: _summary(run / stage) for stage in ("sft", "comparisons", "reward_model", "evaluation")}
    return diagnose_stages(recipe, found, run / "reward_model", run / "policy")


def diagnose_stages(recipe: dict[str, Any], summaries: dict[str, Any], reward: Path, policy: Path) -> Diagnosis:
    """The same from the stages' summaries and where the reward model and the policy lie."""
    left = DoctorInputs(
        recipe=recipe,
        sft=summaries.get("sft") or {},
        comparisons=summaries.get("comparisons") or {},
        reward_model=summaries.get("reward_model") or {},
        policies=(summaries.get("evaluation") or {}).get("policies", {}),
        history=_log(policy / "evaluations.jsonl"),
        reward_steps=_log(reward / "metrics.jsonl"),
        policy_steps=_log(policy / "metrics.jsonl"),
    )
    return diagnose(left, RULES)


def _summary(stage: Path) -> dict[str, Any]:
    path = stage / MANIFEST
    found: dict[str, Any] = read_json(path)["summary"] if path.is_file() else {}
    return found


def _log(path: Path) -> list[dict[str, Any]]:
    return driver.read_log(path) if path.is_file() else []
