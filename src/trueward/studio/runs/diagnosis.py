"""The doctor on a run: what its report says, and before there is one, what its rules see so far."""

from __future__ import annotations

from typing import Any

from trueward import config
from trueward.evaluation.doctor import DoctorInputs, diagnose
from trueward.evaluation.doctor_rules import RULES
from trueward.reporting import doctor_text
from trueward.studio.runs import files
from trueward.studio.runs.contents import Contents
from trueward.studio.runs.files import Table

SUMMARIES = ("sft", "comparisons", "reward_model", "evaluation", "control")


def doctor(run: Contents) -> dict[str, Any]:
    """The diagnosis in the doctor's own words; `problem` in a line if there can be none."""
    table = files.table(run.report(("doctor",)), "doctor")
    try:
        found = _worded(table or _so_far(run))
    except ValueError as error:
        return {"problem": str(error)}
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, ZeroDivisionError) as error:
        return {
            "problem": f"a file of this run is damaged: a figure is missing or of another kind ({type(error).__name__})"
        }
    return {**found, "final": bool(table)}


def _so_far(run: Contents) -> Table:
    written = run.recipe()
    if run.damaged:
        raise ValueError(run.damaged[0])
    recipe = config.resolve(written, "recipe.toml").table()
    summaries = {stage: run.summary(stage) for stage in SUMMARIES}
    inputs = DoctorInputs(
        recipe=recipe,
        sft=summaries["sft"],
        comparisons=summaries["comparisons"],
        reward_model=summaries["reward_model"],
        policies=files.table(summaries["evaluation"], "policies"),
        control=summaries["control"],
        history=run.rows("policy/evaluations.jsonl"),
        reward_steps=run.rows("reward_model/metrics.jsonl"),
        policy_steps=run.rows("policy/metrics.jsonl"),
    )
    if run.damaged:
        raise ValueError(run.damaged[0])  # what the rules would see is not what the run found
    return diagnose(inputs, RULES).table()


def _worded(table: Table) -> Table:
    findings = [
        {
            "fault": str(f["fault"]),
            "what": str(f["what"]),
            "seen": doctor_text.figures(f["evidence"]),
            "because": str(f["because"]),
            "changes": [doctor_text.change(key, value) for key, value in f["advice"].items()],
        }
        for f in table["findings"]
    ]
    not_checked = {str(fault): str(why) for fault, why in table["not_checked"].items()}
    return {"findings": findings, "checked": [str(c) for c in table["checked"]], "not_checked": not_checked}
