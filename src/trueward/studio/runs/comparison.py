"""Several runs beside each other: what can be drawn, how their settings differ, and one figure of all of them as curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trueward.evaluation import frontier
from trueward.evaluation.frontier import FrontierRun
from trueward.studio.runs import curves, files, log, sharing
from trueward.studio.runs.contents import Contents
from trueward.studio.runs.library import STAGES, Library


def overview(library: Library, names: Sequence[str]) -> dict[str, Any]:
    """The runs with their groups, the figures that any of them has, and the settings that are not the same in all."""
    rows = [(name, library.summary(library.path(name))[2]) for name in names]
    groups = _groups(rows)
    labels = _labels(library, rows, groups)
    settings = [row["settings"] for _, row in rows]
    keys = sorted({key for each in settings for key in each}, key=lambda key: (not key.startswith("policy."), key))
    differing = [
        {"key": key, "values": [json.loads(each[key]) if key in each else None for each in settings]}
        for key in keys
        if not key.startswith("runtime.") and len({each.get(key, "null") for each in settings}) > 1
    ]
    plain = ("seed", "verdict", "truth_name", "damage")
    return {
        "runs": [
            {"name": name, "group": groups[name], "label": labels[groups[name]], **{k: row[k] for k in plain}}
            for name, row in rows
        ],
        "metrics": metrics(library, names),
        "differences": differing,
    }


def metrics(library: Library, names: Sequence[str]) -> list[str]:
    """The figures that any of the runs has logged, as "stage/name"; the last row of each log names them."""
    found: dict[str, None] = {}
    logs = {"evaluations": "policy/evaluations.jsonl", **{stage: f"{stage}/metrics.jsonl" for stage in STAGES}}
    for stage, file in logs.items():
        for name in names:
            try:
                row = log.last_row(library.path(name) / file)
            except RecursionError:
                continue
            aside = ("step", *(["seconds", "prompts", "prompts_missing"] if stage == "evaluations" else []))
            numbers = [key for key in row if files.number(row, key) is not None or row[key] is None]
            kept = [
                key
                for key in numbers
                if key not in aside and not key.endswith(("_se", "_low", "_high", "_z", "_missing"))
            ]
            found |= dict.fromkeys(f"{stage}/{key}" for key in kept)
    return list(found)


def figure(library: Library, names: Sequence[str], metric: str, x: curves.X, seeds: bool) -> dict[str, Any]:
    """One figure of the runs against `x`, a panel for each set of runs that share its axes. seeds: runs that differ in the
    seed alone are one line, their mean with Student's interval.

    `ValueError` in one line if it can't be drawn.
    """
    stage, _, key = metric.partition("/")
    if stage not in ("evaluations", *STAGES) or not key:
        raise ValueError(f"{metric}: expected evaluations/… or {', '.join(f'{s}/…' for s in STAGES)}")
    if stage in ("sft", "reward_model") and x != "step":
        raise ValueError(f"{metric} is logged by step alone: there is no {'time' if x == 'seconds' else 'KL'} to it")
    runs, problems = [], []
    for name in names:
        try:
            runs.append(sharing.settled(name, Contents(library.path(name))))
        except ValueError as error:
            problems.append(str(error))
    by_name = _groups([(run.name, library.summary(library.path(run.name))[2]) for run in runs])
    made = []
    for together, why in sharing.panels(runs, sharing.needs(metric, x)):
        groups: dict[str, list[FrontierRun]] = {}
        for run in together:
            groups.setdefault(by_name[run.name] if seeds else run.name, []).append(run)
        lines = [_line(library, group, stage, key, x) for group in groups.values()]
        made.append({"why": why, "names": [run.name for run in together], "lines": lines})
    return {"panels": made, "problems": problems}


def _line(library: Library, group: Sequence[FrontierRun], stage: str, key: str, x: curves.X) -> dict[str, Any]:
    drawn = [curves.curve(library, run.name, stage, key, x) for run in group]
    having = [(run, one) for run, one in zip(group, drawn, strict=True) if one is not None]
    joined = curves.mean([one for _, one in having])
    return {
        "runs": [run.name for run in group],
        "seeds": [run.seed for run, _ in having],
        "without": [run.name for run, one in zip(group, drawn, strict=True) if one is None],
        **curves.points(joined),
    }


def _groups(rows: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, str]:
    """The group of each run: those that differ in the seed alone. A damaged run, and a seed's second one, stand alone: of two
    the finished one counts."""
    found: dict[str, str] = {}
    seen: set[tuple[str, Any]] = set()
    for name, row in sorted(rows, key=lambda named: not named[1].get("final")):
        place = (row["group"], row["seed"])
        found[name] = row["group"] if row["group"] and place not in seen else f"run {name}"
        seen.add(place)
    return found


def _labels(library: Library, rows: Sequence[tuple[str, Any]], groups: dict[str, str]) -> dict[str, str]:
    """A name for each group, as the frontier names its rows; a run's own where it stands by itself."""
    made: dict[str, list[FrontierRun]] = {}
    labels: dict[str, str] = {}
    for name, _ in rows:
        if groups[name].startswith("run "):
            labels[groups[name]] = name
            continue
        try:
            made.setdefault(groups[name], []).append(sharing.settled(name, Contents(library.path(name))))
        except ValueError:
            labels[groups[name]] = name
    try:
        return labels | dict(zip(made, frontier.names(list(made.values())), strict=True))
    except (KeyError, TypeError, AttributeError):
        return labels | {key: group[0].name for key, group in made.items()}
