"""The files of a recipe's model, for fingerprints."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from trueward.models import smollm2
from trueward.models.run_paths import whole


def model_files(name: str) -> list[Path]:
    """The model's files: weights, configuration, tokenizer; empty for a name on the hub.

    `ValueError` in one line if it's in a finished stage of a run, and a file there isn't as it was.
    """
    if name == "trueward:base":
        name = str(importlib.resources.files("trueward") / "assets" / "base")
    if name == "trueward:smollm2":
        return [smollm2.source()]
    folder = Path(name) if name else None
    if folder is None or not folder.is_dir():
        return []
    whole(folder)
    return sorted(f for f in folder.iterdir() if f.suffix in (".safetensors", ".bin", ".json", ".model", ".jinja"))
