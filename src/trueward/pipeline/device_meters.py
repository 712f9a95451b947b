"""What is measured on the device that computes: seconds with all work done, its own memory, its limits."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch

from trueward.pipeline.memory import peak_memory_mb


def synchronise(device: torch.device) -> None:
    """Wait until all that was launched on an accelerator is done; nothing on the CPU, which does things as they come."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def seconds_on(device: torch.device) -> Callable[[], float]:
    """A clock whose times are those at which all launched work is done."""
    if device.type == "cpu":
        return time.perf_counter

    def now() -> float:
        synchronise(device)
        return time.perf_counter()

    return now


def begin_peak(device: torch.device) -> None:
    """Forget the highest memory so far, where that can be forgotten: CUDA."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_mb(device: torch.device) -> float:
    """The most memory of CUDA's that tensors took, 10⁶ bytes; else the peak of the process's resident memory."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    return peak_memory_mb()


def limits(device: torch.device) -> dict[str, Any]:
    """GFLOP/s of a large float32 product and GB/s of reading memory, on this device with torch's threads."""
    one, other = torch.rand(1024, 1024).to(device), torch.rand(1024, 1024).to(device)
    long = torch.rand(2**26).to(device)  # 268 MB, more than most caches hold
    now = seconds_on(device)

    def best(work: Any, seconds: float) -> float:
        work()
        fastest, begun = float("inf"), now()
        while now() - begun < seconds:
            at = now()
            work()
            fastest = min(fastest, now() - at)
        return fastest

    products = 2 * 1024**3 / best(lambda: one @ other, 0.5)
    reading = long.numel() * 4 / best(lambda: long.sum(), 0.5)
    return {
        "device": device.type,
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count() or 1,
        "gflops": round(products / 1e9, 1),
        "gb_per_s": round(reading / 1e9, 1),
    }
