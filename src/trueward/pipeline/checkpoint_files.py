"""Checkpoints of any tool on disk: which directories hold a model, their steps, and whether they are written to the end."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from trueward.artifacts import expanded
from trueward.data.rollouts import natural
from trueward.models.run_paths import is_model

DEEP = 3  # folders above a model in which its step may stand: global_step_10/actor/huggingface


@dataclass(frozen=True)
class CheckpointDirectory:
    """A model, whole or as an adapter, and the step that it was saved at."""

    path: Path
    step: int

    @property
    def state(self) -> list[list[str | int]]:
        """Name, size and time of each of its files: another one, another model."""
        files = sorted(file for file in self.path.rglob("*") if file.is_file())
        stats = [(file, file.stat()) for file in files]
        return [[str(file.relative_to(self.path)), stat.st_size, stat.st_mtime_ns] for file, stat in stats]


def checkpoints_of(patterns: Iterable[str]) -> list[CheckpointDirectory]:
    """The checkpoints that patterns name (`out/checkpoint-*`), by step.

    `ValueError` in one line for a pattern without any, a name without a step, and two of one step.
    """
    places: dict[Path, None] = {}
    for pattern in patterns:
        folders = [Path(name) for name in glob(str(expanded(pattern)), recursive=True) if Path(name).is_dir()]
        models = [
            place for folder in sorted(folders, key=natural) for place in (folder, folder / "model") if is_model(place)
        ]
        if not models:
            there = f"; {folders[0]} holds neither config.json nor adapter_config.json" if folders else ""
            raise ValueError(f"{pattern}: there is no checkpoint of this name{there}")
        places |= dict.fromkeys(models)
    by_step: dict[int, CheckpointDirectory] = {}
    for path in places:
        step = _step(path)
        if step in by_step:
            raise ValueError(f"{path}: its step is {step}, and so is that of {by_step[step].path}; name one of them")
        by_step[step] = CheckpointDirectory(path, step)
    return [by_step[step] for step in sorted(by_step)]


def _step(path: Path) -> int:
    for folder in [path, *path.absolute().parents[:DEEP]]:
        if numbers := re.findall(r"\d+", folder.name):
            return int(numbers[-1])
    raise ValueError(f"{path}: expected the step of this checkpoint in its name, as in checkpoint-500")
