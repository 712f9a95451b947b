"""Where a model lies that was named on the command line."""

from __future__ import annotations

from pathlib import Path

STAGES = ("policy", "sft")


def place(model: str) -> str:
    """Where a model lies: a run's policy (its SFT model, if there is none yet), RUN/STAGE, a directory, or a shipped name."""
    for path in (Path(model), Path("runs") / model):
        if (path / "ladder.json").is_file():
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
