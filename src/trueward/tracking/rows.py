"""What is sent: the rows of a loop's logs as flat figures, by step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, float | str]
EVALUATION = "eval/"  # before the names of an evaluation's figures
TEXTS = ("verdict",)
CLOCKS = ("step", "seconds")


def of_step(metrics: Mapping[str, Any]) -> Row:
    """A row of metrics.jsonl: its numbers. What is not a number is left out, so it's a gap."""
    return {key: float(value) for key, value in metrics.items() if key != "step" and _is_number(value)}


def of_evaluation(evaluation: Mapping[str, Any], before: str = EVALUATION) -> Row:
    """A row of evaluations.jsonl: its numbers, those of each truth too, and the verdict's word."""
    row: Row = {}
    for key, value in evaluation.items():
        if isinstance(value, Mapping):
            row |= of_evaluation(value, f"{before}{key}/")
        elif key in TEXTS and isinstance(value, str):
            row[before + key] = value
        elif key not in CLOCKS and _is_number(value):
            row[before + key] = float(value)
    return row


def logged(stage: Path) -> dict[int, Row]:
    """All that a stage's logs hold, by step."""
    rows: dict[int, Row] = {}
    for name, figures in (("metrics.jsonl", of_step), ("evaluations.jsonl", of_evaluation)):
        path = stage / name
        for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            row = json.loads(text)
            rows.setdefault(int(row["step"]), {}).update(figures(row))
    return dict(sorted(rows.items()))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
