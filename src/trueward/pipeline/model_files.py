"""The files of a recipe's model, for fingerprints."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from trueward.models import smollm2


def model_files(name: str) -> list[Path]:
    """The model's files: weights, configuration, tokenizer; empty for a name on the hub."""
    if name == "trueward:base":
        name = str(importlib.resources.files("trueward") / "assets" / "base")
    if name == "trueward:smollm2":
        return [smollm2.source()]
    folder = Path(name) if name else None
    if folder is None or not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.suffix in (".safetensors", ".bin", ".json", ".model", ".jinja"))
