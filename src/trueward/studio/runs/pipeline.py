"""A run's whole pipeline: stages that are done, that go on and that are still to come, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trueward.artifacts import PIPELINE
from trueward.studio.runs import files
from trueward.studio.runs.files import Table


def expected(recipe: Table) -> list[str]:
    """The stages that a recipe runs, in order, as far as its settings tell."""
    reward, policy = files.table(recipe, "reward"), files.table(recipe, "policy")
    is_model = reward.get("kind", "reward_model") == "reward_model"
    offline = policy.get("kind") == "dpo" and not files.table(policy, "dpo").get("online")
    compares = (is_model and not reward.get("model")) or offline
    middle = [*(["comparisons"] if compares else []), "reward_model" if is_model else "reward"]
    return ["prepare", "sft", *middle, "policy", "evaluation", "report"]


def whole(
    recipe: Table,
    stages: Sequence[Table],
    run: Path,
    usual: Mapping[str, float],
    evaluations: Sequence[Table] = (),
    done: float | None = None,
) -> list[dict[str, Any]]:
    """A row a stage: name, state (done, running, stopped, waiting), seconds, and the seconds left where they are known.

    usual: seconds by stage in other runs. done: steps of the policy that are done.
    """
    there = [str(row["name"]) for row in stages]
    started = [{**_plain(row), "left": _left(recipe, row, run, usual, evaluations, done)} for row in stages]
    finished = bool(stages) and stages[-1].get("name") == "report" and stages[-1].get("state") == "done"
    ahead = [] if finished or not recipe else [name for name in expected(recipe) if name not in there]
    return [*started, *({"name": n, "state": "waiting", "seconds": None, "left": usual.get(n)} for n in ahead)]


def left(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """The seconds that are left in all, and the stages of which nobody knows; None if nothing is left."""
    open_rows = [row for row in rows if row["state"] in ("running", "waiting")]
    if not open_rows:
        return None
    known = [row["left"] for row in open_rows if row["left"] is not None]
    return {"seconds": sum(known), "unknown": [row["name"] for row in open_rows if row["left"] is None]}


def _plain(row: Table) -> dict[str, Any]:
    return {key: row.get(key) for key in ("name", "state", "seconds")}


def _left(
    recipe: Table,
    row: Table,
    run: Path,
    usual: Mapping[str, float],
    evaluations: Sequence[Table],
    done: float | None,
) -> float | None:
    if row.get("state") != "running":
        return None
    steps = files.number(files.table(recipe, "policy"), "steps")
    if row["name"] == "policy" and steps and done:
        last = next((e for e in reversed(evaluations) if files.number(e, "step") and files.number(e, "seconds")), None)
        if last is not None:
            return max(0.0, steps - done) * float(last["seconds"]) / float(last["step"])
    name = str(row["name"])
    if name not in usual:
        return None
    try:
        began = (run / PIPELINE).stat().st_mtime  # written when the stage began
    except OSError:
        return None
    return max(0.0, usual[name] - max(0.0, time.time() - began))
