"""One figure of a run, or of a group of seeds, against steps, seconds or the distance from SFT."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trueward.evaluation.statistics import NINETY_FIVE, student_quantile
from trueward.studio.runs import files, log
from trueward.studio.runs.contents import Contents
from trueward.studio.runs.library import Library

X = Literal["step", "seconds", "kl", "root_kl"]
MOST = 800  # points of a curve; more are buckets
Numbers = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Curve:
    """All four by step, NaN where there is no number. half: of the 95 % interval."""

    steps: Numbers
    x: Numbers
    y: Numbers
    half: Numbers


def curve(library: Library, name: str, stage: str, key: str, x: X) -> Curve | None:
    """A figure of one run; None if it was never logged there.

    Seconds of a training log are those of the evaluations, in a straight line between them.
    """
    rows = (
        Contents(library.path(name)).rows("policy/evaluations.jsonl")
        if stage == "evaluations" or x == "seconds"
        else []
    )
    rows = [row for row in rows if files.number(row, "step") is not None]
    steps = np.array([row["step"] for row in rows], float)
    if stage == "evaluations":
        y = _column(rows, key)
        half = NINETY_FIVE * _column(rows, f"{key}_se")
        found = {"step": steps, "seconds": _column(rows, "seconds"), "kl": _column(rows, "kl")}
    else:
        columns = library.columns(name, stage)
        logged = np.array(columns.steps, float)
        y, kl = (np.array(columns.columns.get(k, array("d")), float) for k in (key, "objective/kl"))
        y, kl = (each if len(each) else np.full(len(logged), np.nan) for each in (y, kl))
        half = np.full(len(logged), np.nan)
        found = {"step": logged, "kl": kl, "seconds": _between(logged, steps, _column(rows, "seconds"))}
        steps = logged
    if not len(y) or np.isnan(y).all():
        return None
    return Curve(steps, np.sqrt(np.maximum(found["kl"], 0)) if x == "root_kl" else found[x], y, half)


def mean(curves: Sequence[Curve]) -> Curve | None:
    """The mean of several seeds where all have a row, with Student's interval over them; of one seed, that seed."""
    if len(curves) < 2:
        return curves[0] if curves else None
    steps = curves[0].steps
    for other in curves[1:]:
        steps = np.intersect1d(steps, other.steps)
    at = [np.searchsorted(each.steps, steps) for each in curves]
    x, y = (np.stack([getattr(c, name)[i] for c, i in zip(curves, at, strict=True)]) for name in ("x", "y"))
    half = student_quantile(0.975, len(curves) - 1) * y.std(axis=0, ddof=1) / np.sqrt(len(curves))
    return Curve(steps, x.mean(axis=0), y.mean(axis=0), half)


def points(made: Curve | None) -> dict[str, list[float | None]]:
    """What a page draws: x, y, low, high and step of each point, at most `MOST` of them: the lowest and highest of a bucket."""
    if made is None:
        return {"step": [], "x": [], "y": [], "low": [], "high": []}
    low, high = made.y - made.half, made.y + made.half
    columns = {"x": made.x, "y": made.y, "low": low, "high": high}
    if len(made.steps) <= MOST:
        return {"step": _plain(made.steps), **{key: _plain(values) for key, values in columns.items()}}
    tables = {key: array("d", values.tolist()) for key, values in columns.items() if key != "x"}
    found = log.buckets(made.steps.tolist(), tables, MOST)
    steps = np.array(found["steps"], float)
    return {"step": _plain(steps), "x": _plain(_between(steps, made.steps, made.x)), **found["columns"]}


def _column(rows: Sequence[dict[str, Any]], key: str) -> Numbers:
    return np.array([np.nan if (value := files.number(row, key)) is None else value for row in rows], float)


def _between(at: Numbers, steps: Numbers, values: Numbers) -> Numbers:
    """Values at these steps, in straight lines between the known ones; NaN beyond them."""
    known = ~np.isnan(values)
    if not known.any():
        return np.full(len(at), np.nan)
    return np.interp(at, steps[known], values[known], left=np.nan, right=np.nan)


def _plain(values: Numbers) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
