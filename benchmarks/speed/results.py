"""benchmarks/results.json: one row for each comparison, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]
FIELDS = ("name", "size", "ours", "peer", "ratio", "ratio_low", "unit", "share_of_limit", "memory_ours", "memory_peer")


def read(path: Path) -> list[Row]:
    """What stands there; nothing if there's no such file."""
    if not path.exists():
        return []
    found = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(found, list):
        raise ValueError(f"{path}: expected a list of rows, got {type(found).__name__}")
    return found


def merged(old: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """New rows in the place of the old ones of the same name and size, others at the end."""
    fresh = {key(row): row for row in new}
    kept = [fresh.pop(key(row), row) for row in old]
    return kept + [row for row in new if key(row) in fresh]


def key(row: Row) -> tuple[str, str]:
    return row["name"], row["size"]


def write(path: Path, rows: Sequence[Row]) -> None:
    """Every row with all of `FIELDS`."""
    for row in rows:
        if missing := [field for field in FIELDS if field not in row]:
            raise ValueError(f"{row.get('name')}: a row without {missing[0]}")
    put(path, list(rows))


def put(path: Path, value: Any) -> None:
    """Any JSON, through a file beside it, so that a kill leaves the old one whole."""
    fresh = path.with_name(f".{path.name}.tmp")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
