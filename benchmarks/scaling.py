"""What several processes gain on one machine: seconds of each stage of a recipe, by their number (docs/scaling.md).

    python benchmarks/scaling.py [RECIPE] [PROCESSES...] [--set KEY=VALUE ...]

Each run is `trueward run RECIPE --launch torchrun --nproc-per-node N`, from nothing, and all have the same global batch. Prints
a row a number of processes, with the machine's cores and its load when the run began: a machine that others use measures them
too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

STAGES = ("sft", "comparisons", "reward_model", "policy", "evaluation")


def seconds(recipe: str, processes: int, changes: list[str]) -> dict[str, float]:
    """Seconds by stage, of one run."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "home" / "run"
        command = [sys.executable, "-m", "trueward", "run", recipe, "--quiet", "--out", str(run), *changes]
        if processes > 1:
            command += ["--launch", "torchrun", "--nproc-per-node", str(processes)]
        subprocess.run(command, check=True)  # noqa: S603 (constants, and what the caller named)
        rows = json.loads((run / "pipeline.json").read_text())
        return {row["name"]: row["seconds"] for row in rows}


def main() -> None:
    """A row for each number of processes."""
    words = sys.argv[1:]
    at = words.index("--set") if "--set" in words else len(words)
    given, changes = words[:at], words[at:]
    recipe = given[0] if given else "tiny"
    print(f"{recipe}, {os.cpu_count()} cores")
    print("processes   load  " + "".join(f"{name:>14}" for name in STAGES))
    for processes in [int(word) for word in given[1:]] or [1, 2]:
        load = os.getloadavg()[0]
        found = seconds(recipe, processes, changes)
        print(
            f"{processes:>9}  {load:5.1f}  " + "".join(f"{found.get(name, 0.0):14.1f}" for name in STAGES), flush=True
        )


if __name__ == "__main__":
    main()
