"""What Ray costs: a call, a push of weights, a restart, and a step of a recipe's loop (docs/ray.md).

    python benchmarks/ray_overhead.py [RECIPE] [--megabytes 25] [--set KEY=VALUE ...]

First the parts, on a cluster of this machine: a call without weights, a push of so many megabytes into the object store and
out of it in an actor, an actor killed and asked again. Then the seconds of a step of the policy's loop: two processes by
torchrun, the same by Ray, and the same with two samplers and a scorer. With the machine's load: a machine that others use
measures them too.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CALLS, PUSHES, RESTARTS = 200, 20, 3
WAYS = {
    "torchrun, 2 processes": ["--launch", "torchrun", "--nproc-per-node", "2"],
    "ray, 2 ranks": ["--launch", "ray", "--set", "runtime.ray.ranks=2"],
    "ray, 2 ranks, 2 samplers, 1 scorer": [
        *("--launch", "ray", "--set", "runtime.ray.ranks=2"),
        *("--set", "runtime.ray.samplers=2", "--set", "runtime.ray.scorers=1"),
    ],
}


class Answering:
    """An actor that reads what it is given."""

    def __init__(self) -> None:
        import torch  # what a sampler imports first

        self.torch = torch

    def process(self) -> int:
        """Its id."""
        return os.getpid()

    def take(self, weights: dict[str, np.ndarray]) -> float:
        """Copy them, as a sampler does."""
        return float(sum(self.torch.tensor(each).sum() for each in weights.values()))


def timed(act: Callable[[], Any], times: int) -> float:
    """The median of its seconds."""
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        act()
        seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def parts(megabytes: float) -> None:
    """Print what a call, a push and a restart take."""
    from trueward.launch.cluster import connected

    begun = time.perf_counter()
    with connected("", 2):
        import ray

        print(f"a cluster is there after {time.perf_counter() - begun:.1f} s")
        begun = time.perf_counter()
        actor = ray.remote(Answering).options(num_cpus=1, max_restarts=-1, max_task_retries=-1).remote()
        ray.get(actor.process.remote())
        print(f"an actor that imports torch answers after {time.perf_counter() - begun:.1f} s")
        print(f"a call: {timed(lambda: ray.get(actor.process.remote()), CALLS) * 1e3:.2f} ms")
        weights = {"weights": np.random.default_rng(0).random(int(megabytes * 1e6 / 4), dtype=np.float32)}
        push = timed(lambda: ray.get(actor.take.remote(ray.put(weights))), PUSHES)
        print(f"a push of {megabytes:g} MB: {push * 1e3:.0f} ms, the copy in the actor included")

        def again() -> None:
            os.kill(ray.get(actor.process.remote()), signal.SIGKILL)
            ray.get(actor.process.remote())

        print(f"killed and asked again: {timed(again, RESTARTS):.1f} s")


def step(recipe: str, way: list[str], changes: list[str]) -> float:
    """Seconds of a step of the policy's loop, its evaluations included, from the second of these on: before it actors load."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "home" / "run"
        command = [sys.executable, "-m", "trueward", "run", recipe, "--quiet", "--until", "policy", "--out", str(run)]
        subprocess.run([*command, *way, *changes], check=True)  # noqa: S603 (constants, and what the caller named)
        rows = [json.loads(line) for line in (run / "policy" / "evaluations.jsonl").read_text().splitlines()]
        first, last = rows[1], rows[-1]
        return float(last["seconds"] - first["seconds"]) / (last["step"] - first["step"])


def main() -> None:
    """The parts, then a row for each way."""
    words = sys.argv[1:]
    at = words.index("--set") if "--set" in words else len(words)
    given, changes = words[:at], words[at:]
    megabytes = 25.0
    if "--megabytes" in given:
        place = given.index("--megabytes")
        megabytes = float(given[place + 1])
        del given[place : place + 2]
    recipe = given[0] if given else "tiny"
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    parts(megabytes)
    for name, way in WAYS.items():
        load = os.getloadavg()[0]
        print(f"{recipe}, {name}: {step(recipe, way, changes):.3f} s a step, load {load:.1f}", flush=True)


if __name__ == "__main__":
    main()
