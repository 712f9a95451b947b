"""Sends a loop's rows to a service, each once, also when a run is killed and resumed."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trueward.console import printed
from trueward.tracking.rows import Row, logged, of_evaluation, of_step

MARKS = "tracking.json"  # in the run's directory: up to which step each stage's rows were sent, by service


class Service(Protocol):
    """One loop's run at a service."""

    rewinds: bool
    """Whether rows after a step are replaced when a resumed loop sends them again; if not, they are sent once."""
    last: int | None
    """The last step that the service has already, -1 for none; None where that isn't known."""

    def send(self, step: int, row: Row) -> None:
        """Send one step's figures."""

    def flush(self) -> None:
        """Make what was sent outlast this process."""

    def close(self) -> None:
        """The loop is over, or interrupted."""


@dataclass(frozen=True)
class Loop:
    """One training loop: a run's directory and recipe, and the stage's name and digest."""

    run: Path
    stage: str
    digest: str
    recipe: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its id at a service: the same after a resume, another one for another recipe or directory."""
        text = f"{self.run.resolve()}\0{self.stage}\0{self.digest}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """The run's name and the stage's, as a service shows them."""
        return f"{self.run.name}/{self.stage}"


class Tracker:
    """Where a loop's numbers go beside its logs. This one sends them nowhere."""

    last = -1
    """The last step that was sent."""

    def begin(self, stage: Path, step: int | None) -> None:
        """The loop starts or resumes. step: the one that its logs reach up to; None: it starts."""

    def send(self, step: int, metrics: Mapping[str, Any], evaluation: Mapping[str, Any]) -> None:
        """A step's metrics, and the policy's evaluation at it (empty if there was none)."""

    def settle(self) -> None:
        """A checkpoint was made."""

    def close(self) -> None:
        """The loop has ended."""

    def __enter__(self) -> Tracker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Sender(Tracker):
    """Sends to one service. Its first error is printed and training goes on; the next start sends what is missing."""

    def __init__(self, loop: Loop, kind: str, rewinds: bool, connect: Callable[[Loop, int], Service]) -> None:
        self.loop, self.kind, self.rewinds, self.connect = loop, kind, rewinds, connect
        self.service: Service | None = None
        self.broken = False
        mark = _marks(loop.run).get(kind, {}).get(loop.stage, {})
        self.last = int(mark["last"]) if mark.get("digest") == loop.digest else -1

    def begin(self, stage: Path, step: int | None) -> None:
        """Send what the stage's logs hold and the service has not; rows after `step` again, if the service replaces them."""
        if self.rewinds:
            self.last = min(self.last, -1 if step is None else step)
        elif self.last >= 0:  # something was sent before; all of it may have arrived, or not quite
            self._try(self._connected)
        for number, row in logged(stage).items():
            self._send(number, row)

    def send(self, step: int, metrics: Mapping[str, Any], evaluation: Mapping[str, Any]) -> None:
        """Send a step's figures, unless they were sent before or the service failed."""
        self._send(step, of_step(metrics) | of_evaluation(evaluation))

    def settle(self) -> None:
        """Flush the service, and record in tracking.json what was sent."""
        if self.service is not None and not self.broken:
            self._try(self.service.flush)
        if self.service is not None and not self.broken:
            self._mark()

    def close(self) -> None:
        """Settle, and end the run at the service."""
        self.settle()
        if self.service is not None:
            service, self.service = self.service, None
            self._try(service.close)

    def _send(self, step: int, row: Row) -> None:
        if step <= self.last or self.broken or not row:
            return

        def work() -> None:
            service = self._connected()
            if step > self.last:
                service.send(step, row)
                self.last = step

        self._try(work)
        if not self.broken and not self.rewinds:  # a process that is killed now must not send it again
            self._mark()

    def _connected(self) -> Service:
        if self.service is None:
            self.service = self.connect(self.loop, self.last)
            if self.service.last is not None:
                self.last = self.service.last
        return self.service

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as error:
            if not self.broken:
                lines = str(error).strip().splitlines()
                why = lines[0] if lines else type(error).__name__
                print(printed(f"trueward: {self.kind}: {why}; the run goes on without it"), file=sys.stderr, flush=True)
            self.broken = True

    def _mark(self) -> None:
        marks = _marks(self.loop.run)
        marks.setdefault(self.kind, {})[self.loop.stage] = {"digest": self.loop.digest, "last": self.last}
        path = self.loop.run / MARKS
        fresh = path.with_name(f".{MARKS}.tmp")
        fresh.write_text(json.dumps(marks, indent=1) + "\n", encoding="utf-8")
        os.replace(fresh, path)


def _marks(run: Path) -> dict[str, dict[str, dict[str, Any]]]:
    try:
        marks = json.loads((run / MARKS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return marks if isinstance(marks, dict) else {}
