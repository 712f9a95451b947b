"""People as a truth: a run's answers beside SFT's become pairs to judge, and what people say of them goes into its report.

Nobody is waited for: the pairs are put where the studio takes them in, the run goes on, and what has been said by then (in
closed rounds, or in `people/votes.jsonl`, which `trueward evaluate RUN --people PROJECT` writes) is read when the report is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trueward import artifacts, config, driver
from trueward.config import Evaluation
from trueward.data import comparisons as compared
from trueward.data import jsonl, questions, snapshots
from trueward.data.questions import Question
from trueward.instruments import report as page
from trueward.instruments import verdict
from trueward.instruments.paired import paired
from trueward.instruments.preference import preferred
from trueward.progress import WaitingError
from trueward.records import Comparison, Prompt
from trueward.workflow.context import read_prompts
from trueward.workflow.judging import ratio_first

FOLDER, END, VOTES, LOOKS = "people", "evaluation.jsonl", "votes.jsonl", "asked"
Row = dict[str, Any]


def ask(run: Path, project: str, most: int) -> list[Question]:
    """Pairs of the evaluation's answers for people to judge, kept beside the run; asked once more they are the same ones."""
    path = run / FOLDER / END
    if not path.is_file():
        answers = run / "evaluation" / "policy.jsonl"
        if not answers.is_file():
            raise ValueError(f"{run}: has no evaluation yet, and people judge its answers; `trueward run` makes one")
        known = {str(p): p for p in read_prompts(run / "prepare" / "prompts_held_out.jsonl")}
        rows = driver.read_log(answers)[:most]
        questions.keep(path, _pairs([known[row["prompt"]] for row in rows], rows))
    found = questions.kept(path)
    questions.pose(project, run.absolute().name, found)
    return found


def ask_at_look(work: Path, config: Evaluation, step: int, prompts: Sequence[Prompt], samples: Sequence[Row]) -> None:
    """The same of a look's answers. `work`: the policy's stage."""
    found = _pairs(prompts[: config.people_looks], samples[: config.people_looks])
    questions.keep(work / LOOKS / f"step-{step:07d}.jsonl", found)
    questions.pose(config.project, f"{work.absolute().parent.name}-step-{step:07d}", found)


def _pairs(prompts: Sequence[Prompt], samples: Sequence[Row]) -> list[Question]:
    return [
        questions.question(prompt, (row["response"], row["finished"]), (row["reference"], row["reference_finished"]))
        for prompt, row in zip(prompts, samples, strict=True)
    ]


def said(run: Path, project: str) -> list[Comparison]:
    """What people have said in the project as far as files tell: in its closed rounds, or when they were last asked."""
    try:
        closed = compared.read_all(snapshots.snapshots(f"{snapshots.PREFIX}{project}")).rows
    except ValueError:
        closed = []  # no round is closed yet
    everything = [q for each in asked(run).values() for q in each]
    closed = questions.matching(everything, closed)
    path = run / FOLDER / VOTES
    live = [Comparison.model_validate(row) for _, row in jsonl.read(path)] if path.is_file() else []
    return max(closed, live, key=len)


def asked(run: Path) -> dict[int | None, list[Question]]:
    """All that was asked: by step, and at the end, whose step is None."""
    found: dict[int | None, list[Question]] = {None: questions.kept(run / FOLDER / END)}
    for path in sorted((run / "policy" / LOOKS).glob("step-*.jsonl")):
        found[int(path.stem.removeprefix("step-"))] = questions.kept(path)
    return found


def wait(run: Path, project: str, needed: int) -> None:
    """`WaitingError` as long as fewer pairs of the evaluation than that are judged."""
    values = _values(asked(run)[None], said(run, project))
    judged = sum(v is not None for v in values)
    if judged < min(needed, len(values)):
        raise WaitingError(
            f"waiting for people: {judged} of {min(needed, len(values))} pairs of {project} are judged in closed rounds; "
            "compare them in `trueward studio` and close the round"
        )


def fold(run: Path, project: str, votes: Sequence[Comparison]) -> Row:
    """What people prefer, at the looks and at the end, and the verdict with them as the truth."""
    everything = asked(run)
    end, values = _measured(everything.pop(None), votes)
    table: Row = {"project": project, "votes": len(votes), **end, "looks": []}
    looks: dict[int, np.ndarray] = {}
    for step, found in everything.items():
        assert step is not None
        row, looks[step] = _measured(found, votes)
        table["looks"].append({"step": step, **row})
    table["verdict"] = _verdict(run, table, values, looks).table()
    return table


def _values(found: Sequence[Question], votes: Sequence[Comparison]) -> list[float | None]:
    return questions.preferences([q for q in found if q.differs], votes)


def _measured(found: Sequence[Question], votes: Sequence[Comparison]) -> tuple[Row, np.ndarray]:
    """The win rate, and for every prompt that is known of 2p − 1, the preference between −1 and 1; of equal answers 0."""
    values, same = _values(found, votes), sum(not q.differs for q in found)
    known = [2 * v - 1 for v in values if v is not None]
    return preferred(values, same), np.array(known + [0.0] * (same if known else 0))


def _verdict(run: Path, table: Row, end: np.ndarray, looks: Mapping[int, np.ndarray]) -> verdict.Verdict:
    """The rules of every run with people's preference in the place of the truth; a peak is not measured again, so a fall from
    one is not found. As long as pairs are open it is given only if it would hold whenever one looks."""
    report = artifacts.read_json(run / "report.json")
    history = {row["step"]: row for row in report["history"]}
    if not table["judged"] or not (table["complete"] or _sure(table)):
        rule = f"waiting for people: {table['judged']} of {table['asked']} pairs are judged"
        return verdict.Verdict("inconclusive", rule, {}, report.get("best_step"))
    rows = [_as_look(history.get(0, {"step": 0}), np.zeros(1))]
    rows += [_as_look(history[step], values) for step, values in looks.items() if len(values) > 1 and step in history]
    last = max([1, *(row["step"] for row in report["history"])])
    rows.append(_as_look({**report["policies"]["policy"], "step": last, "final": True}, end))
    control = artifacts.load(run / "control")
    return verdict.judge(
        rows,
        examined=report.get("reward_model") or None,
        ratio_first=ratio_first(run / "policy"),
        control=control.summary if control else None,
    )


def _sure(table: Row) -> bool:
    return bool(table["any_time_low"] > 0.5 or table["any_time_high"] < 0.5)


def _as_look(row: Mapping[str, Any], values: np.ndarray) -> Row:
    """A row of evaluations.jsonl whose truth is people's preference."""
    found = paired(values, np.zeros(len(values)))
    z = found.z if np.isfinite(found.z) else None
    se = found.se if np.isfinite(found.se) else None
    gain = {"truth": found.mean, "truth_se": se, "truth_gain": found.mean, "truth_gain_se": se, "truth_gain_z": z}
    return {**row, **gain, "truths": {}, "fall": None}


def refresh(run: Path) -> Row | None:
    """Put what people have said into the run's report, if they were asked; the table, or nothing."""
    project = config.read(str(run / "recipe.toml")).evaluation.project
    before = run / FOLDER / "people.json"
    if before.is_file() and not project:
        project = artifacts.read_json(before)["project"]
    if not project or not (run / FOLDER / END).is_file():
        return None
    return write(run, project, said(run, project))


def write(run: Path, project: str, votes: Sequence[Comparison]) -> Row:
    """people.json, and the run's report with it; with people as the recipe's first truth their verdict is the run's."""
    table = fold(run, project, votes)
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
