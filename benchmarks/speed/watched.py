"""One of our programs under torch's profiler: seconds a step in matrix products, attention, the optimiser, and the rest.

    python -m speed.watched JOB

job["program"] names it. The profiler makes many small operations slower, large ones not: what counts are the first three.
"""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from typing import Any

from torch.profiler import ProfilerActivity, profile

from speed import meter

KINDS = {
    "products": ("::mm", "::addmm", "linear_pointwise", "mkl_linear", "mkldnn_linear"),
    "attention": ("::bmm", "::baddbmm", "scaled_dot_product"),
    "optimiser": ("_fused_adam",),
}


def kind(operation: str) -> str:
    """Which of KINDS it is; else the rest."""
    return next((name for name, parts in KINDS.items() if any(part in operation for part in parts)), "the rest")


def by_kind(seconds: Sequence[tuple[str, float]]) -> dict[str, float]:
    """Sums of operations' own times."""
    found = dict.fromkeys((*KINDS, "the rest"), 0.0)
    for operation, taken in seconds:
        found[kind(operation)] += taken
    return found


class Watch(meter.Meter):
    """A clock that starts the profiler when the warm-up is over."""

    def __init__(self, asked: dict[str, Any]) -> None:
        super().__init__(asked)
        self.profiler = profile(activities=[ProfilerActivity.CPU])

    def tick(self) -> None:
        super().tick()
        if len(self.ticks) == self.asked["warm_up"] + 1:
            self.profiler.start()

    def finish(self, units: float | Sequence[float], before: float = 0.0, **more: Any) -> None:
        self.profiler.stop()
        steps = len(self.ticks) - 1 - self.asked["warm_up"]
        each = [(row.key, row.self_cpu_time_total / 1e6 / steps) for row in self.profiler.key_averages()]
        done = sum(units[self.asked["warm_up"] :]) / steps if isinstance(units, Sequence) else units
        super().finish(units, before, kinds=by_kind(each), units_each=done, **more)


if __name__ == "__main__":
    program = meter.job()["program"]
    meter.Meter = Watch  # type: ignore[misc]  # the programs take it from there
    runpy.run_module(f"speed.{program}", run_name="__main__")
