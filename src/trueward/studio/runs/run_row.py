"""A run's row of the table: what it is, how far it is, its figures and whose they are."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from trueward.artifacts import PIPELINE
from trueward.studio.runs import files, log
from trueward.studio.runs.contents import Contents, flat
from trueward.studio.runs.files import Table

READ = ("recipe.toml", PIPELINE, "report.json", "policy/evaluations.jsonl", "policy/metrics.jsonl")
FIGURES = (
    "proxy", "proxy_se", "truth", "truth_se", "kl", "kl_se", "win_rate", "win_rate_low", "win_rate_high", "length",
    "distinct_1", "eos_rate", "entropy",
)  # fmt: skip
REPORTED = ("verdict", "policies", "best_step", "reward_model")  # of report.json, what the row has
ASIDE = ("seed", "name", "description", "format")  # what runs of one group may differ in, with [runtime]
KEYS = (
    "recipe", "kind", "seed", "stage", "step", "steps", "seconds", "verdict", "rule", "evaluated", *FIGURES, "best_truth",
    "best_step", "accuracy", "truth_name",
)  # fmt: skip
Stamp = tuple[tuple[int, int, int] | None, ...]


def stamp(path: Path) -> Stamp:
    """Time, size and inode of the files that a row is made of: equal as long as the row is."""
    found: list[tuple[int, int, int] | None] = []
    for name in READ:
        found.append(None)
        with contextlib.suppress(OSError):
            seen = os.stat(f"{path}/{name}")
            found[-1] = (seen.st_mtime_ns, seen.st_size, seen.st_ino)
    return tuple(found)


def row(run: Contents, stages: list[Table]) -> dict[str, Any]:
    """The row but for the run's name, state and last write. `settings`: JSON by dotted name. `damage`: what can't be read."""
    nothing: dict[str, Any] = {}
    found = run.guarded(lambda: _row(run, stages), nothing)
    damage = run.damage()
    whole = {**dict.fromkeys(KEYS), "final": False, "settings": {}, "group": "", **found, "damage": damage}
    return {**whole, "group": "" if damage else whole["group"]}  # nobody knows whose seed a damaged run is


def _row(run: Contents, stages: list[Table]) -> dict[str, Any]:
    recipe, last, report = run.recipe(), run.last_evaluation(), run.report(REPORTED)
    verdict, end = files.table(report, "verdict"), files.table(files.table(report, "policies"), "policy")
    policy = files.table(recipe, "policy")
    settings = {key: json.dumps(value) for key, value in flat(recipe).items() if key not in ASIDE[1:]}
    same = {key: value for key, value in settings.items() if key not in ASIDE and not key.startswith("runtime.")}
    spent = [row["seconds"] for row in stages if "seconds" in row]
    return {
        "recipe": files.word(recipe, "name"),
        "kind": files.word(policy, "kind"),
        "seed": files.number(recipe, "seed"),
        "stage": next((s.get("name") for s in stages if s.get("state") != "done"), None),
        "step": trained(run.path) or files.number(last, "step"),
        "steps": files.number(policy, "steps"),
        "seconds": sum(spent) if spent else None,
        "verdict": files.word(verdict, "word") or files.word(last, "verdict"),
        "rule": files.word(verdict, "rule") or files.word(last, "rule"),
        "final": bool(
            end
        ),  # whether the figures are the final evaluation's, on fresh prompts, or those of the last look
        "evaluated": None if end else files.number(last, "step"),
        **{key: files.number(end if key in end else last if not end else {}, key) for key in FIGURES},
        "best_truth": files.number(files.table(files.table(report, "policies"), "best"), "truth"),
        "best_step": files.number(report, "best_step"),
        "accuracy": files.number(files.table(report, "reward_model"), "accuracy"),
        "truth_name": truth_name(recipe),
        "group": hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16],
        "settings": settings,
    }


def trained(run: Path) -> float | None:
    """The steps that the policy has been trained for: rows of its log, not of its evaluations; None before the first."""
    try:
        return files.number(log.last_row(run / "policy/metrics.jsonl"), "step")
    except RecursionError:
        return None


def truth_name(recipe: Table) -> str | None:
    """The name of the first truth, by which runs can be compared; None if nothing measures it."""
    named = files.table(recipe, "evaluation").get("truths")
    return str(named[0]) if isinstance(named, list) and named else None
