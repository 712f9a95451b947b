"""The directory of a model that was named on the command line."""

from __future__ import annotations

from pathlib import Path

from trueward.artifacts import is_run

STAGES = ("policy", "sft")


def model_path(model: str) -> str:
    """A run's policy (its SFT model, if there is none yet), RUN/STAGE, a directory, or a shipped name as it is."""
    for path in (Path(model), Path("runs") / model):
        if is_run(path):
            for stage in STAGES:
                if is_model(path / stage / "model"):
                    return str(path / stage / "model")
            raise ValueError(f"{model}: this run has no model yet")
        for folder in (path, path / "model"):
            if is_model(folder):
                return str(folder)
    return model


def is_model(folder: Path) -> bool:
    """Whether a directory holds a model, whole or as an adapter."""
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))
