"""Rows as a pandas frame where pandas is installed, else as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def frame(rows: Sequence[dict[str, Any]]) -> Any:
    """A `pandas.DataFrame`, or without pandas a list of dicts. Nested values stay in their cells."""
    try:
        import pandas
    except ImportError:
        return list(rows)
    return pandas.DataFrame(list(rows))
