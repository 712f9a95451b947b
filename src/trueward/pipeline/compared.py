"""Comparisons as a stage's result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from trueward.records import Comparison


@dataclass(frozen=True)
class Compared:
    """Comparisons, and the stage's summary of where they come from."""

    rows: list[Comparison]
    summary: dict[str, Any]
