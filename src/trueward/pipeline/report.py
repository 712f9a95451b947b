"""The stage `report`: the results of a run, as report.json and report.html."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trueward import __version__, config
from trueward.artifacts import Artifact, read_json, write_json, write_text
from trueward.config import Recipe
from trueward.evaluation.contracts import Report
from trueward.evaluation.cross_check import cross_check_warning
from trueward.evaluation.early_warnings import early_warnings
from trueward.pipeline import proxy_truth
from trueward.pipeline.doctor_inputs import diagnose_stages
from trueward.pipeline.final_evaluation import FinalEvaluation
from trueward.pipeline.memory import peak_memory_mb
from trueward.pipeline.prepare import Prepared
from trueward.pipeline.run_verdict import run_verdict
from trueward.pipeline.sft import SftPolicy, cut_short
from trueward.pipeline.stage import Made, Row, Stage
from trueward.pipeline.trained_policy import TrainedPolicy
from trueward.reporting import report as page
from trueward.scorers.simulated import pick
from trueward.training.env import Env
from trueward.training.journal import Journal


@dataclass(frozen=True)
class RunReport:
    """The contents of report.json."""

    table: Row = field(repr=False)
    summary: Row = field(default_factory=dict)


def report(
    *,
    prepared: Made[Prepared],
    sft: Made[SftPolicy],
    comparisons: Made[Any] | None,
    reward: Made[Any],
    policy: Made[TrainedPolicy],
    evaluation: Made[FinalEvaluation],
    control: Made[TrainedPolicy] | None,
    recipe: Recipe,
    command: str,
    env: Env,
    journal: Journal,
) -> RunReport:
    """The stages' summaries as one table, with the verdict and the doctor's findings."""
    stages = [made for made in (prepared, sft, comparisons, reward, policy, evaluation, control) if made]
    rows, summary, is_model = evaluation.summary["policies"], policy.summary, reward.name == "reward_model"
    least_fall = recipe.evaluation.least_fall
    verdict = run_verdict(
        policy.value,
        reward.summary,
        evaluation.summary,
        control.summary if control else None,
        least_fall,
        proxy_is_truth=proxy_truth.proxy_is_truth(recipe),
    )
    looks = [row for row in policy.value.evaluations if row["step"]]
    alarm = cross_check_warning([*looks, {**rows["policy"], "step": summary["steps"]}])
    table: Row = {
        "format": 2,
        "trueward": __version__,
        "name": recipe.name,
        "command": command,
        "recipe": recipe.table(),
        "seed": recipe.seed,
        "seconds": {made.name: round(made.artifact.seconds, 2) for made in stages},
        "verdict": verdict.table(),
        "stopped": summary.get("stopped"),
        "early_warnings": [*early_warnings(rows["policy"], rows["sft"]), *([alarm] if alarm else [])],
        "policies": rows,
        "evaluated_on": evaluation.summary["evaluated_on"],
        "best_step": summary["best_step"],
        "optimiser": {"kind": recipe.policy.kind}
        | {k: v for k, v in summary.items() if k not in ("best_step", "stopped")},
        "best_of_n": evaluation.summary["best_of_n"],
        "feature_shift": evaluation.summary["feature_shift"],
        "reward_model": {**reward.summary, "agreement": comparisons.summary["agreement"] if comparisons else None}
        if is_model
        else {},
        "reward": {
            "kind": recipe.reward.kind,
            **{key: reward.summary.get(key) for key in ("mean", "sd", "judge")},
        },
        "sft": sft.summary,
        "annotators": annotators(recipe, prepared, comparisons),
        "history": policy.value.evaluations,
        "samples": evaluation.summary["samples"],
        "left_out": [row for made in stages for row in made.summary.get("left_out", [])],
        "notes": [
            *([same] if (same := proxy_truth.note(recipe)) else []),
            *lengths(stages),
            *short(prepared, recipe),
            *notes(prepared.summary, recipe, evaluation.summary["evaluated_on"]),
        ],
        "peak_memory_mb": peak_memory_mb(),
    }
    summaries = {made.name: made.summary for made in stages}
    reward_steps = reward.value.metrics if is_model else []
    trained = policy.value
    diagnosis = diagnose_stages(recipe.table(), summaries, trained.evaluations, reward_steps, trained.metrics)
    table["doctor"] = diagnosis.table()
    Report.model_validate(table)  # the format that docs/metrics.md documents
    return RunReport(table)


def annotators(recipe: Recipe, prepared: Made[Prepared], comparisons: Made[Any] | None) -> Row | None:
    """Who compared: simulated annotators with their classifiers, a judge, or the file of people's choices; None for no one."""
    if comparisons is None:
        return None
    summary = comparisons.summary
    is_simulated, judge = summary["source"] == "simulated", summary.get("judge")
    description = f"comparisons from {summary['source']}"
    if judge:
        description = f"AI-labelled, not by people: {recipe.judge.model} compared the answers by a written principle"
    if is_simulated:
        description = pick(prepared.value.annotators, recipe.comparisons.annotator).description
    return {
        "simulated": is_simulated,
        "ai": judge is not None,
        "judge": judge,
        "description": description,
        "agreement": summary["agreement"],
        "temperature": summary["temperature"],
        "classifiers": prepared.summary["classifiers"] if is_simulated else {},
        "correlations": summary.get("correlations", {}),
    }


def lengths(stages: Sequence[Made[Any]]) -> list[str]:
    """The lengths that were taken from the data, and the texts that were cut."""
    tables = [(made.name, made.summary) for made in stages]
    taken = [f"{name}: {note}" for name, table in tables if (note := table.get("lengths", {}).get("note"))]
    cut = [
        f"{row['rows']:,} {row['what']} were cut: {row['reason']}"
        for _, table in tables
        for row in table.get("cut", [])
    ]
    return taken + cut


def short(prepared: Made[Prepared], recipe: Recipe) -> list[str]:
    """That the sampler cuts answers as long as most demonstrations, if it does."""
    text = cut_short(prepared.summary, recipe.sampler.max_new_tokens)
    return [text] if text else []


def notes(prepared: Row, recipe: Recipe, evaluated_on: Row) -> list[str]:
    """What a reader should know before trusting the table. evaluated_on: the final evaluation's prompts."""
    texts = [
        f"the column {column!r} of {rows:,} rows was not used" for column, rows in prepared["ignored_columns"].items()
    ]
    first = next((name for name in recipe.evaluation.measured if not name.startswith("people:")), "")
    if any(judge.truth == first and judge.mode != "pointwise" for judge in recipe.evaluation.judge):
        texts.append(f"the truth {first} is a share, of answers won less those lost, from −1 to 1; it is not in SDs")
    if not recipe.evaluation.measured:
        texts.append("nothing measured the truth in this run (evaluation.truths is empty): the proxy alone says little")
    texts += config.notes(recipe)
    there, missing, before = prepared["prompts_held_out"], evaluated_on["missing"], evaluated_on["used_before"]
    if missing:
        texts.append(
            f"no alarm of a fall from the peak can be given: {there} prompts are held out, and {missing} more are needed to "
            "measure a peak again on prompts of its own (data.held_out, or more prompts)"
        )
    if before:
        texts.append(
            f"{before} of the final evaluation's {evaluated_on['prompts']} prompts were used while training, too: the best "
            "checkpoint was picked on them and may look better than it is"
        )
    cut = recipe.policy.kind != "best_of_n" and not missing and there < 2 * recipe.evaluation.step_prompts
    if cut:
        texts.append(
            f"evaluations in training used {(there + 1) // 2} of the {there} held-out prompts and not "
            f"{recipe.evaluation.step_prompts}: the others are reserved for measuring what these pick"
        )
    return texts


def write(result: RunReport, folder: Path) -> Row:
    """Write report.json and report.html; the summary is empty."""
    write_json(folder / "report.json", result.table)
    write_text(folder / "report.html", page.page(result.table))
    return {}


def read(artifact: Artifact, env: Env) -> RunReport:
    """The result, from the stage's directory."""
    return RunReport(read_json(artifact.path / "report.json"))


REPORT = Stage("report", report, write, read, takes_made=True)
