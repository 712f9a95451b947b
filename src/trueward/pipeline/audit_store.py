"""What an audit of checkpoints keeps on disk, so that one which was stopped goes on: a file for each measurement."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trueward.artifacts import read_json, write_json

FOLDER = "measured"


@dataclass(frozen=True)
class AuditStore:
    """Values under `folder`, each with a digest of what it was made from; one that was made from other things is made anew."""

    folder: Path

    def get(self, name: str, made_from: Any) -> Any:
        """The value of that name; None if there is none, or it was made from other things."""
        file = self.folder / FOLDER / f"{name}.json"
        if not file.is_file():
            return None
        try:
            table = read_json(file)
        except ValueError:
            return None
        return table.get("value") if isinstance(table, dict) and table.get("key") == digest(made_from) else None

    def put(self, name: str, made_from: Any, value: Any) -> None:
        """Keep a value; the file is there whole or not at all."""
        (self.folder / FOLDER).mkdir(parents=True, exist_ok=True)
        write_json(self.folder / FOLDER / f"{name}.json", {"key": digest(made_from), "value": value})


def digest(made_from: Any) -> str:
    """SHA-256 of what a value was made from, as JSON."""
    return hashlib.sha256(json.dumps(made_from, sort_keys=True, default=str).encode()).hexdigest()
