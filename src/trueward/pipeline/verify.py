"""Every file of a run against its digest: finished stages by their manifests, unfinished ones by their checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from trueward import artifacts
from trueward.training import digests


class Verified(NamedTuple):
    """A stage or a checkpoint. files: how many were hashed. damage: one line about the first that isn't whole, or nothing."""

    name: str
    files: int
    damage: str


def verify(run: Path) -> list[Verified]:
    """A row for each. `ValueError` if there's nothing to verify."""
    rows = []
    for stage in sorted(path for path in run.iterdir() if path.is_dir()):
        if (stage / artifacts.MANIFEST).exists():
            rows.append(_stage(stage))
        checkpoints = sorted(stage.rglob(f"{artifacts.CHECKPOINTS}/step-*"))
        rows += [_checkpoint(run, checkpoint) for checkpoint in checkpoints if checkpoint.is_dir()]
    if not rows:
        raise ValueError(f"{run}: holds no finished stage and no checkpoint")
    return rows


def _stage(stage: Path) -> Verified:
    try:
        artifacts.load(stage, hash_all=True)
        files = len(artifacts.read_json(stage / artifacts.MANIFEST)["files"])
    except ValueError as error:
        return Verified(stage.name, 0, str(error))
    return Verified(stage.name, files, "")


def _checkpoint(run: Path, checkpoint: Path) -> Verified:
    name = checkpoint.relative_to(run).as_posix()
    damage = digests.damage_of_checkpoint(checkpoint, checkpoint.parent.parent)
    return Verified(name, 0 if damage else len(digests.of(checkpoint)), damage)
