"""Whether a run is live, without taking its lock, which could make a starting run fail."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Literal

State = Literal["live", "stale", "crashed", "stopped", "finished"]
STALE_SECONDS = 120.0
LOCKS = Path("/proc/locks")


def held() -> set[int] | None:
    """The inodes on which some process of this machine holds a lock; None where the system does not list them."""
    try:
        rows = LOCKS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    inodes = set()
    for row in rows:
        fields = row.split()
        place = next((field for field in fields if field.count(":") == 2), "")
        if place:
            inodes.add(int(place.rsplit(":", 1)[1]))
    return inodes


def state(
    run: Path,
    stages: list[dict[str, Any]],
    locks: set[int] | None,
    now: float | None = None,
    touched: float | None = None,
) -> State:
    """live: its process holds the lock and has written lately; stale: it holds the lock but is silent; crashed: it is gone.

    Where the system doesn't list locks, only the time since the last write decides. touched: that time, where it is known.
    """
    now = time.time() if now is None else now
    silent = now - (written(run) if touched is None else touched) > STALE_SECONDS
    works = lock(run) in locks if locks is not None else not silent
    if works:
        return "stale" if silent else "live"
    last = stages[-1] if stages else {}
    if last.get("state") == "running":
        return "crashed" if locks is not None else "stale"
    return "stopped" if last.get("state") == "stopped" else "finished"


def written(run: Path) -> float:
    """When something in the run was last written: its own files, its stages' and their checkpoints'."""
    return max([0.0, *(at for folder in (run, *_folders(run)) for at in _times(folder))])


def _times(folder: Path) -> list[float]:
    """When each entry of a folder was written; of a link, when the link was."""
    times = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                times.append(entry.stat(follow_symlinks=False).st_mtime)
    return times


def _folders(run: Path) -> list[Path]:
    with contextlib.suppress(OSError), os.scandir(run) as entries:
        return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    return []


def lock(run: Path) -> int:
    """The inode of a run's lock; −1 if it has none."""
    try:
        return (run / ".lock").stat().st_ino
    except OSError:
        return -1
