"""The precision of products that a model's own run had, so that who looks at the model later gets the run's numbers."""

from __future__ import annotations

import tomllib
from pathlib import Path

import torch

from trueward.artifacts import is_run
from trueward.models import precision

RECIPE = "recipe.toml"


def pick(place: str | Path, device: torch.device) -> torch.dtype:
    """For a model that nobody gave a precision for: its run's `model.dtype` if it lies in a run's directory, else `auto`'s.

    A run that meant bfloat16 by `auto` has saved that. `ValueError` in one line for a run's recipe that can't be read.
    """
    run = next((p for p in Path(place).resolve().parents if is_run(p)), None) if Path(place).is_dir() else None
    if run is None or not (run / RECIPE).is_file():
        return precision.pick("auto", device)
    try:
        model = tomllib.loads((run / RECIPE).read_text(encoding="utf-8")).get("model", {})
    except (OSError, ValueError) as error:
        raise ValueError(f"{run / RECIPE}: can't be read as a recipe: {error}") from None
    low = isinstance(model, dict) and model.get("dtype") == "bfloat16"
    return precision.LOW if low else torch.float32
