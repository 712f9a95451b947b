"""trackio: a local database ($TRACKIO_DIR), or a Space by $TRACKIO_SPACE_ID; one run of theirs for each stage."""

from __future__ import annotations

import contextlib
import os
import sys

import trackio

from trueward.tracking.rows import Row
from trueward.tracking.tracker import Loop


class Trackio:
    """Rows by step. trackio buffers them for half a second, so after a kill its own database says what arrived."""

    rewinds = False

    def __init__(self, loop: Loop, project: str) -> None:
        name = f"{loop.title} {loop.id[:6]}"  # the only thing that identifies a run there
        space = os.environ.get("TRACKIO_SPACE_ID")
        self.last = None if space else _there(project, name)
        with contextlib.redirect_stdout(sys.stderr):  # ours is for results
            self.run = trackio.init(
                project=project,
                name=name,
                group=loop.run.name,
                config=dict(loop.recipe),
                space_id=space,
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def send(self, step: int, row: Row) -> None:
        """As `Service`."""
        self.run.log(dict(row), step=step)

    def flush(self) -> None:
        """It sends by itself, twice a second."""

    def close(self) -> None:
        """As `Service`."""
        with contextlib.redirect_stdout(sys.stderr):
            self.run.finish()


def _there(project: str, name: str) -> int | None:
    """The last step of a run that its local database holds, −1 for none; None where it can't be read."""
    try:
        from trackio.sqlite_storage import SQLiteStorage

        steps = SQLiteStorage.get_max_steps_for_runs(project)
        rows = SQLiteStorage.get_logs(project, name) if steps else []
    except Exception:  # not a promised part of it
        return None
    return max((int(row["step"]) for row in rows if row.get("step") is not None), default=-1)
