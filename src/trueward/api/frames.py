"""Rows as a pandas frame where pandas is installed, else as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trueward.records import Prompt


def frame(rows: Sequence[dict[str, Any]]) -> Any:
    """A `pandas.DataFrame`, or without pandas a list of dicts. Prompts are texts; other nested values stay in their cells."""
    plain = [_with_text(row) for row in rows]
    try:
        import pandas
    except ImportError:
        return plain
    return pandas.DataFrame(plain)


def _with_text(row: dict[str, Any]) -> dict[str, Any]:
    prompt = row.get("prompt")
    return {**row, "prompt": str(Prompt.model_validate(prompt))} if isinstance(prompt, dict) else row
