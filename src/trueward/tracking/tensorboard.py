"""TensorBoard: event files under the run's directory, a folder a stage."""

from __future__ import annotations

import json

from torch.utils.tensorboard import SummaryWriter

from trueward.tracking.rows import Row
from trueward.tracking.tracker import Loop

FLUSH_SECONDS = 5


class TensorBoard:
    """Scalars, and the verdict's word where it changes. TensorBoard drops the steps that a resumed loop sends again."""

    rewinds = True
    last: int | None = None

    def __init__(self, loop: Loop, last: int) -> None:
        folder = loop.run / "tensorboard" / loop.stage
        # purge_step: a reader forgets all events of an earlier session from this step on
        self.writer = SummaryWriter(str(folder), purge_step=last + 1, flush_secs=FLUSH_SECONDS)
        self._sent: dict[str, str] = {}
        if last < 0:
            text = "\n".join(f"    {row}" for row in json.dumps(loop.recipe, indent=1).splitlines())
            self.writer.add_text("recipe", text, 0)  # four spaces: a block of code in Markdown

    def send(self, step: int, row: Row) -> None:
        """As `Service`: numbers as scalars, a word as text where it changes."""
        for key, value in row.items():
            if not isinstance(value, str):
                self.writer.add_scalar(key, value, step)
            elif self._sent.get(key) != value:
                self._sent[key] = value
                self.writer.add_text(key, value, step)

    def flush(self) -> None:
        """As `Service`."""
        self.writer.flush()

    def close(self) -> None:
        """As `Service`."""
        self.writer.close()
