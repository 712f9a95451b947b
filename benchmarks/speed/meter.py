"""The clock and the memory gauge of every measured program, ours and the peers' alike. Needs nothing but Python.

A program is called with a job (JSON: what to load, how many steps) and writes what it measured as JSON into job["out"].
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def job() -> dict[str, Any]:
    """What this process was asked to do."""
    found: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    return found


class Meter:
    """Made when everything is imported: from here on memory counts. `tick` ends a step."""

    def __init__(self, asked: dict[str, Any]) -> None:
        # The processor's own time passes over what other processes take, so a busy machine can be measured on with one thread.
        self.now = time.process_time if asked.get("cpu_time") else time.perf_counter
        self.asked, self.ticks = asked, [self.now()]
        forget_peak()
        self.base = status("VmRSS")

    def start(self) -> None:
        """The first step begins."""
        self.ticks = [self.now()]

    def tick(self) -> None:
        self.ticks.append(self.now())

    def finish(self, units: float | Sequence[float], before: float = 0.0, **more: Any) -> None:
        """units: how many a step does, or each of all steps did. Steps before `warm_up` are thrown away.

        before: seconds of work done ahead for each step, which count as its own.
        """
        ahead = self.asked["warm_up"]
        steps = [before + b - a for a, b in zip(self.ticks, self.ticks[1:], strict=False)][ahead:]
        if not steps:
            raise ValueError(f"{len(self.ticks) - 1} steps were made, and {ahead} of them are the warm-up")
        done = sum(units[ahead:]) if isinstance(units, Sequence) else units * len(steps)
        found = {
            "rate": done / sum(steps),
            "seconds": steps,
            "memory": max(0.0, status("VmHWM") - self.base),
            "base": self.base,
            **more,
        }
        Path(self.asked["out"]).write_text(json.dumps(found), encoding="utf-8")


def status(field: str) -> float:
    """A size in /proc/self/status, in bytes; NaN where there is no such file."""
    try:
        text = Path("/proc/self/status").read_text(encoding="utf-8")
    except OSError:
        return float("nan")
    line = next(line for line in text.splitlines() if line.startswith(field + ":"))
    return 1024.0 * int(line.split()[1])


def forget_peak() -> None:
    """The peak so far is no longer one: VmHWM starts again from what is resident now."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        print("the peak of the imports can't be forgotten here; memory is counted from it", file=sys.stderr)


def read_rows(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
