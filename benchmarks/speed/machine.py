"""The limits of the machine at hand, measured: matrix products and memory. A program of its own, so that its threads are.

python -m speed.machine JOB
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from speed import meter

SIDE, ROWS = 2048, 1024
BYTES = 1 << 29


def products(seconds: float, now: Callable[[], float]) -> float:
    """Operations a second of float32 matrix products with 1,024 rows: the best of many."""
    a, b = torch.randn(ROWS, SIDE), torch.randn(SIDE, SIDE)
    return 2 * ROWS * SIDE * SIDE / _best(lambda: a @ b, seconds, now)


def reads(seconds: float, now: Callable[[], float]) -> float:
    """Bytes a second that come from memory: half a gigabyte is summed up."""
    a = torch.ones(BYTES // 4)
    return BYTES / _best(a.sum, seconds, now)


def _best(run: Callable[[], Any], seconds: float, now: Callable[[], float]) -> float:
    """The shortest time of a call, by the clock `now`."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = now()
        run()
        best = min(best, now() - start)
    return best


def main() -> None:
    asked = meter.job()
    torch.set_num_threads(asked["threads"])
    now = time.process_time if asked["cpu_time"] else time.perf_counter
    found = {"products": products(4.0, now), "reads": reads(3.0, now), "threads": asked["threads"]}
    Path(asked["out"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
