"""The directory of a model that was named on the command line."""

from __future__ import annotations

import os
from pathlib import Path

from trueward.artifacts import MANIFEST, home, is_run, load, no_such_run

STAGES = ("policy", "sft")
OTHERS = ("policy/best", "reward_model")


def model_path(model: str) -> str:
    """A run's policy (its SFT model, if there is none yet), RUN/STAGE, a directory, or a shipped or hub name as it is.

    `ValueError` in one line, with near names, for a run that isn't there.
    """
    for path in (Path(model), Path("runs") / model):
        if is_run(path):
            for stage in STAGES:
                if is_model(path / stage / "model"):
                    return whole(path / stage / "model")
            raise ValueError(f"{model}: this run has no model yet")
        for folder in (path, path / "model"):
            if is_model(folder):
                return whole(folder)
    run, _, stage = model.partition("/")
    if (stage in (*STAGES, *OTHERS) or "/" not in model) and not (
        ":" in model or Path(model).exists() or _in_cache(model)
    ):
        raise ValueError(
            f"{model}: {no_such_run(run)}, and no such model (a directory, trueward:NAME, or owner/name on the hub)"
        )
    return model


def whole(folder: Path) -> str:
    """The directory's path, if the files of the finished stage that it is in are as they were; those of another size or time
    are hashed. `ValueError` in one line if one isn't.
    """
    for stage in (folder.parent, folder.parent.parent):
        if (stage / MANIFEST).is_file() and '"files"' in (stage / MANIFEST).read_text(
            encoding="utf-8", errors="replace"
        ):
            load(stage)
            break
    return str(folder)


def _in_cache(model: str) -> bool:
    """Whether the hub's old names without an owner, such as gpt2, were fetched before."""
    place = os.environ.get("HF_HOME") or (home() or Path("/")) / ".cache" / "huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(place, "hub"))
    return bool(model) and (hub / f"models--{model}").is_dir()


def is_model(folder: Path) -> bool:
    """Whether a directory holds a model, whole or as an adapter."""
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))
