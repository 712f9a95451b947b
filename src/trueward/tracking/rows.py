"""What is sent: the rows of a loop's logs as flat figures, by step."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

Row: TypeAlias = dict[str, float | str]
LOOK = "look/"  # before the name of whatever a look at the policy found
TEXTS = ("verdict",)
CLOCKS = ("step", "seconds")


def of_step(metrics: Mapping[str, Any]) -> Row:
    """A row of metrics.jsonl: its numbers. What is not a number is left out, so it's a gap."""
    return {key: float(value) for key, value in metrics.items() if key != "step" and _is_number(value)}


def of_look(look: Mapping[str, Any], before: str = LOOK) -> Row:
    """A row of evaluations.jsonl: its numbers, those of each truth too, and the verdict's word."""
    found: Row = {}
    for key, value in look.items():
        if isinstance(value, Mapping):
            found |= of_look(value, f"{before}{key}/")
        elif key in TEXTS and isinstance(value, str):
            found[before + key] = value
        elif key not in CLOCKS and _is_number(value):
            found[before + key] = float(value)
    return found


def logged(stage: Path) -> dict[int, Row]:
    """All that a stage's logs hold, by step."""
    found: dict[int, Row] = {}
    for name, figures in (("metrics.jsonl", of_step), ("evaluations.jsonl", of_look)):
        path = stage / name
        for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            row = json.loads(text)
            found.setdefault(int(row["step"]), {}).update(figures(row))
    return dict(sorted(found.items()))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
