"""Which services there are, what each of them needs, and a tracker for a stage."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trueward.extras import missing
from trueward.tracking.rows import logged
from trueward.tracking.tracker import Loop, Sender, Service, Tracker

REWINDS = {"tensorboard": True, "wandb": False, "trackio": False}
UNFINISHED = "unfinished.json"


def require(kind: str) -> None:
    """`ValueError` in one line if the service's package or key is missing; called before any training."""
    if kind == "none":
        return
    try:
        importlib.import_module(kind)
        if kind == "tensorboard":
            importlib.import_module("torch.utils.tensorboard")
    except ImportError:
        raise missing(f"runtime.tracking: {kind} is not installed", kind) from None
    if kind == "wandb":
        from trueward.tracking.wandb import check

        check()


def follow(kind: str, recipe: Mapping[str, Any], stage: Path, digest: str = "", member: int = 0) -> Tracker:
    """The tracker of a training stage. member: which reward model of an ensemble, from 0."""
    if kind == "none":
        return Tracker()
    digest = digest or str(json.loads((stage / UNFINISHED).read_text(encoding="utf-8"))["digest"])
    name = stage.name + (f"-{member + 1}" if member else "")
    return Sender(Loop(stage.parent, name, digest, recipe), kind, REWINDS[kind], _connect(kind))


def catch_up(kind: str, recipe: Mapping[str, Any], stage: Path, digest: str) -> None:
    """Send what a finished stage's logs hold and was not sent yet: it came from another run, or was not tracked then."""
    if kind == "none":
        return
    last = max(logged(stage), default=None)
    with follow(kind, recipe, stage, digest) as tracker:
        if last is not None and tracker.last < last:
            tracker.begin(stage, last)


def project() -> str:
    """The project's name at a service: $WANDB_PROJECT, $TRACKIO_PROJECT or `trueward`."""
    return os.environ.get("WANDB_PROJECT") or os.environ.get("TRACKIO_PROJECT") or "trueward"


def _connect(kind: str) -> Any:
    def connect(loop: Loop, last: int) -> Service:
        if kind == "tensorboard":
            from trueward.tracking.tensorboard import TensorBoard

            return TensorBoard(loop, last)
        if kind == "wandb":
            from trueward.tracking.wandb import Wandb

            return Wandb(loop, project())
        from trueward.tracking.trackio import Trackio

        return Trackio(loop, project())

    return connect
