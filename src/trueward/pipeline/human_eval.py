"""People as a truth: a run's answers and SFT's become pairs to judge, and people's votes go into its report.

The run doesn't wait: the pairs are put where the studio imports them, the run goes on, and the votes given by then (in
closed rounds, or in `people/votes.jsonl`, which `trueward evaluate RUN --people PROJECT` writes) are read when the report is
made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trueward import artifacts, config
from trueward.config import EvaluationConfig
from trueward.data import comparisons as compared
from trueward.data import jsonl, questions, snapshots
from trueward.data.questions import PeoplePair
from trueward.evaluation import verdict
from trueward.evaluation.paired import paired
from trueward.evaluation.preference import preferred
from trueward.evaluation.verdict_monitor import first_ratio
from trueward.pipeline import judged_pairs
from trueward.progress import WaitingError
from trueward.records import Comparison, Prompt
from trueward.reporting import report as page
from trueward.training.journal import METRICS, read_log

FOLDER, END, VOTES, STEP_PAIRS = "people", "evaluation.jsonl", "votes.jsonl", "pairs"
Row = dict[str, Any]


def post_pairs(run: Path, project: str, most: int) -> list[PeoplePair]:
    """Send pairs of the evaluation's answers to a project, for people to judge; a repeated call sends the same pairs.

    They are stored in the run's directory. most: pairs. `ValueError` if the run has no evaluation yet.
    """
    path = run / FOLDER / END
    if not path.is_file():
        questions.save_pairs(path, judged_pairs.evaluation_pairs(run, most))
    pairs = questions.read_pairs(path)
    questions.pose(project, run.absolute().name, pairs)
    return pairs


def post_pairs_at_step(
    work: Path, config: EvaluationConfig, step: int, prompts: Sequence[Prompt], samples: Sequence[Row]
) -> None:
    """The same for an evaluation's answers in training. work: the directory of the policy's stage."""
    pairs = [
        questions.people_pair(prompt, (row["response"], row["finished"]), (row["reference"], row["reference_finished"]))
        for prompt, row in zip(prompts[: config.step_pairs], samples[: config.step_pairs], strict=True)
    ]
    questions.save_pairs(work / STEP_PAIRS / f"step-{step:07d}.jsonl", pairs)
    questions.pose(config.project, f"{work.absolute().parent.name}-step-{step:07d}", pairs)


def read_votes(run: Path, project: str) -> list[Comparison]:
    """The votes of a project on this run's pairs, from its closed rounds or from votes.jsonl, whichever has more."""
    try:
        closed = compared.read_all(snapshots.snapshots(f"{snapshots.PREFIX}{project}")).rows
    except ValueError:
        closed = []  # no round is closed yet
    everything = [q for each in posted_pairs(run).values() for q in each]
    closed = questions.matching(everything, closed)
    path = run / FOLDER / VOTES
    live = [Comparison.model_validate(row) for _, row in jsonl.read(path)] if path.is_file() else []
    return max(closed, live, key=len)


def posted_pairs(run: Path) -> dict[int | None, list[PeoplePair]]:
    """All pairs that were sent: by step, and None for those of the final evaluation."""
    pairs: dict[int | None, list[PeoplePair]] = {None: questions.read_pairs(run / FOLDER / END)}
    for path in sorted((run / "policy" / STEP_PAIRS).glob("step-*.jsonl")):
        pairs[int(path.stem.removeprefix("step-"))] = questions.read_pairs(path)
    return pairs


def wait(run: Path, project: str, needed: int) -> None:
    """`WaitingError` while fewer than `needed` pairs of the final evaluation are judged."""
    values = _values(posted_pairs(run)[None], read_votes(run, project))
    judged = sum(v is not None for v in values)
    if judged < min(needed, len(values)):
        raise WaitingError(
            f"waiting for people: {judged} of {min(needed, len(values))} pairs of {project} are judged in closed rounds; "
            "compare them in `trueward studio` and close the round"
        )


def summarise(run: Path, project: str, votes: Sequence[Comparison], points: float = judged_pairs.POINTS) -> Row:
    """People's preferences in training and at the end, and the verdict with them as the truth.

    With what a judge said of all pairs, if one was asked. points: half the width that people's clicks are planned for.
    """
    everything = posted_pairs(run)
    end, values = _measured(everything.pop(None), votes)
    table: Row = {"project": project, "votes": len(votes), **end, "steps": []}
    steps: dict[int, np.ndarray] = {}
    for step, pairs in everything.items():
        assert step is not None
        row, steps[step] = _measured(pairs, votes)
        table["steps"].append({"step": step, **row})
    table["verdict"] = _verdict(run, table, values, steps).table()
    if (judged := judged_pairs.read(run)) is not None:
        table["powered"] = judged_pairs.powered(judged, votes, points)
    return table


def _values(pairs: Sequence[PeoplePair], votes: Sequence[Comparison]) -> list[float | None]:
    return questions.preferences([q for q in pairs if q.differs], votes)


def _measured(pairs: Sequence[PeoplePair], votes: Sequence[Comparison]) -> tuple[Row, np.ndarray]:
    """The win rate, and 2p − 1 of every prompt that has votes, a preference in [−1, 1]; 0 for equal answers."""
    values, same = _values(pairs, votes), sum(not q.differs for q in pairs)
    known = [2 * v - 1 for v in values if v is not None]
    return preferred(values, same), np.array(known + [0.0] * (same if known else 0))


def _verdict(run: Path, table: Row, end: np.ndarray, steps: Mapping[int, np.ndarray]) -> verdict.RunVerdict:
    """The verdict by the same rules, with people's preference as the truth.

    A peak is not measured again, so a fall from one is never found. While pairs are open, it is given only if
    an interval that is valid at any time decides it.
    """
    report = artifacts.read_json(run / "report.json")
    history = {row["step"]: row for row in report["history"]}
    if not table["judged"] or not (table["complete"] or _sure(table)):
        rule = f"waiting for people: {table['judged']} of {table['pairs']} pairs are judged"
        return verdict.RunVerdict("inconclusive", rule, {}, report.get("best_step"))
    rows = [_as_evaluation(history.get(0, {"step": 0}), np.zeros(1))]
    rows += [
        _as_evaluation(history[step], values) for step, values in steps.items() if len(values) > 1 and step in history
    ]
    last = max([1, *(row["step"] for row in report["history"])])
    rows.append(_as_evaluation({**report["policies"]["policy"], "step": last, "final": True}, end))
    log = read_log(run / "policy" / METRICS)
    control = artifacts.load(run / "control")
    return verdict.decide(
        rows,
        examined=report.get("reward_model") or None,
        ratio_first=first_ratio(log),
        control=control.summary if control else None,
    )


def _sure(table: Row) -> bool:
    return bool(table["any_time_low"] > 0.5 or table["any_time_high"] < 0.5)


def _as_evaluation(row: Mapping[str, Any], values: np.ndarray) -> Row:
    """A row of evaluations.jsonl with people's preference as its truth."""
    pairs = paired(values, np.zeros(len(values)), 1.0)
    z = pairs.z if np.isfinite(pairs.z) else None
    se = pairs.se if np.isfinite(pairs.se) else None
    gain = {"truth": pairs.mean, "truth_se": se, "truth_gain": pairs.mean, "truth_gain_se": se, "truth_gain_z": z}
    return {**row, **gain, "truths": {}, "fall": None, "truth_prompts": len(values)}


def refresh(run: Path) -> Row | None:
    """Update the run's report with people's votes so far; returns the table, or None if the run sent no pairs."""
    project = config.read(str(run / "recipe.toml")).evaluation.project
    before = run / FOLDER / "people.json"
    if before.is_file() and not project:
        project = artifacts.read_json(before)["project"]
    if not project or not (run / FOLDER / END).is_file():
        return None
    return write(run, project, read_votes(run, project))


def write(run: Path, project: str, votes: Sequence[Comparison], points: float = judged_pairs.POINTS) -> Row:
    """Write people.json and the run's report; if people are the recipe's first truth, their verdict is the run's."""
    table = summarise(run, project, votes, points)
    report = artifacts.read_json(run / "report.json")
    truths = report["recipe"]["evaluation"].get("truths") or [""]
    is_first = truths[0] == f"{questions.PREFIX}{project}"
    report["people"] = {**table, "is_truth": is_first}
    if is_first:
        report["verdict"] = table["verdict"]
    artifacts.write_json(run / FOLDER / "people.json", table)
    artifacts.write_json(run / "report.json", report)
    artifacts.write_text(run / "report.html", page.page(report))
    return table
