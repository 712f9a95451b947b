"""What helps against reward hacking, in the nano lab: PPO with and without each remedy, on the same seeds.

    python benchmarks/remedies.py --seeds 10 --out remedies.jsonl
    python benchmarks/remedies.py --read --out remedies.jsonl

One line of the file for each run, so that the same command goes on where it was stopped, and more seeds train only what is
missing. A remedy is set beside the run of the same seed without it: the difference's mean, its 95 % interval (Student's t
over seeds), and on how many seeds it was better.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trueward import config
from trueward.evaluation.statistics import student_quantile
from trueward.pipeline.cache import MemoryCache
from trueward.pipeline.run import run_in_memory
from trueward.pipeline.trained_policy import TrainedPolicy

Row = dict[str, Any]
STEPS = 150


@dataclass(frozen=True)
class Arm:
    """One way to train. `against`: the arm that it is set beside."""

    name: str
    against: str = ""
    changes: tuple[str, ...] = ()
    """Of the recipe `nano`."""


WORST = ("reward.members=5", "reward.combine=worst", "reward.resample=true")
ASKED = ("policy.relabel.every=10", "policy.relabel.comparisons=200")
FEW, FREE, HELD = "comparisons.count=300", "policy.kl_coef=0", "policy.kl_coef=0.1"
ARMS = (
    Arm("β = .1", "", (HELD,)),
    Arm("β = .1, relabelled", "β = .1", (HELD, *ASKED)),
    Arm("β = .1, PAR", "β = .1", (HELD, "reward.shaping=sigmoid")),
    Arm("β = .1, clip 2", "β = .1", (HELD, "reward.clip=2")),
    Arm("β = .1, worst of 5", "β = .1", (HELD, *WORST)),
    Arm("β = .1, 300 comparisons", "", (HELD, FEW)),
    Arm("β = .1, 300, worst of 5", "β = .1, 300 comparisons", (HELD, FEW, *WORST)),
    Arm("β = 0, 300 comparisons", "", (FREE, FEW)),
    Arm("β = 0, 300, worst of 5", "β = 0, 300 comparisons", (FREE, FEW, *WORST)),
    Arm("β = 0", "", (FREE,)),
    Arm("β = 0, PAR", "β = 0", (FREE, "reward.shaping=sigmoid")),
    Arm("β = 0, clip 2", "β = 0", (FREE, "reward.clip=2")),
)


def measure(seeds: int, minutes: float, out: Path) -> None:
    """Seed by seed, until the time is up."""
    done = {(row["arm"], row["seed"]) for row in read(out)}
    started = time.monotonic()
    with out.open("a", encoding="utf-8") as file:
        for seed in range(seeds):
            cache = MemoryCache()
            for arm in ARMS:
                if (arm.name, seed) in done:
                    continue
                if time.monotonic() - started > 60 * minutes:
                    return
                recipe = config.read("nano", [f"seed={seed}", f"policy.steps={STEPS}", *arm.changes])
                policy: TrainedPolicy = run_in_memory(recipe, cache, until="policy")["policy"].value
                run = {"arm": arm.name, "seed": seed, "rows": policy.evaluations, "refits": policy.refits}
                print(json.dumps(run), file=file, flush=True)
                print(f"seed {seed}: {arm.name}: truth {policy.evaluations[-1]['truth']:.2f}", flush=True)


def read(out: Path) -> list[Row]:
    """The runs so far; a last line that a kill cut in two is no run."""
    if not out.exists():
        return []
    text = out.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        out.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def interval(values: list[float]) -> str:
    """Mean and half its 95 % interval."""
    if len(values) < 2:
        return f"{values[0]:+.2f}".replace("-", "−") if values else ""
    half = student_quantile(0.975, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{np.mean(values):+.2f} ± {half:.2f}".replace("-", "−")


def table(runs: list[Row]) -> None:
    last = {(run["arm"], run["seed"]): run["rows"][-1] for run in runs}
    peaks = {(run["arm"], run["seed"]): max(row["truth"] for row in run["rows"]) for run in runs}
    print("| | seeds | truth | its peak | proxy | KL | truth gained by it | better on |")
    print("|---|---|---|---|---|---|---|---|")
    for arm in ARMS:
        seeds = sorted(seed for name, seed in last if name == arm.name)
        both = [seed for seed in seeds if (arm.against, seed) in last]
        gains = [last[arm.name, s]["truth"] - last[arm.against, s]["truth"] for s in both]
        cells = [interval([last[arm.name, s][key] for s in seeds]) for key in ("truth", "proxy", "kl")]
        cells.insert(1, interval([peaks[arm.name, s] for s in seeds]))
        cells += [interval(gains), f"{sum(g > 0 for g in gains)} of {len(both)}" if arm.against else ""]
        print(f"| {arm.name} | {len(seeds)} | {' | '.join(cells)} |")
    refits = [refit for run in runs for refit in run.get("refits", [])]
    if refits:
        print("\n| after step | refits | old one, on all new pairs | old one, held out | new one, held out |")
        print("|---|---|---|---|---|")
    for step in sorted({refit["step"] for refit in refits}):
        at = [refit for refit in refits if refit["step"] == step]
        shares = [
            [100 * r[key] for r in at if r[key] is not None]
            for key in ("accuracy", "accuracy_before", "accuracy_after")
        ]
        print(f"| {step} | {len(at)} | {' | '.join(f'{np.mean(s):.0f} %' for s in shares)} |")
    spread = [run["rows"][-1]["member_sd_relative"] for run in runs if run["arm"] == "β = 0, 300, worst of 5"]
    if spread:
        print(f"\nspread between members at β = 0, in that under SFT: {interval(spread)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no further run after so many")
    parser.add_argument("--out", type=Path, default=Path("remedies.jsonl"))
    parser.add_argument("--read", action="store_true", help="make the tables of --out again, without measuring")
    arguments = parser.parse_args()
    if not arguments.read:
        measure(arguments.seeds, arguments.minutes, arguments.out)
    table(read(arguments.out))


if __name__ == "__main__":
    main()
