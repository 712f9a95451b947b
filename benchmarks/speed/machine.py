"""The limits of the machine at hand, measured: matrix products and memory. A program of its own, so that its threads are.

python -m speed.machine JOB
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import torch

from speed import meter

SIDE, ROWS = 2048, 1024
BYTES = 1 << 29


def products(seconds: float) -> float:
    """Operations a second of float32 matrix products with 1,024 rows: the best of many."""
    a, b = torch.randn(ROWS, SIDE), torch.randn(SIDE, SIDE)
    return 2 * ROWS * SIDE * SIDE / _best(lambda: a @ b, seconds)


def reads(seconds: float) -> float:
    """Bytes a second that come from memory: half a gigabyte is summed up."""
    a = torch.ones(BYTES // 4)
    return BYTES / _best(a.sum, seconds)


def _best(run: object, seconds: float) -> float:
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        run()  # type: ignore[operator]
        best = min(best, time.perf_counter() - start)
    return best


def main() -> None:
    asked = meter.job()
    torch.set_num_threads(asked["threads"])
    found = {"products": products(4.0), "reads": reads(3.0), "threads": asked["threads"]}
    Path(asked["out"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
