"""What the alarm of a second reward model sees, and what it can't: PPO in the nano lab with `reward.cross_check`.

    python benchmarks/cross_check.py --seeds 10 --out cross_check.jsonl

Few comparisons: what the proxy learned by heart of its own half is pushed up, and the second model doesn't know it. Many: both
have learned the same, and what is wrong with it (a bag of words can't see repetition, which annoys people) both have wrong. One
line of the file for each run, so that the same command goes on where it was stopped. No alarm reads the truth.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from trueward import config
from trueward.evaluation.cross_check import first_alarm
from trueward.pipeline.cache import MemoryCache
from trueward.pipeline.run import run_in_memory

Row = dict[str, Any]
COUNTS, BETAS, STEPS = (60, 4000), (0.3, 0.0), 40
KEPT = ("step", "prompts", "truth", "proxy_gain", "proxy_gain_z", "second_gain", "second_shortfall", "second_shortfall_z",
        "verdict")  # fmt: skip


def measure(seed: int, count: int, beta: float, cache: MemoryCache) -> Row:
    """One run of one lab."""
    changes = [f"seed={seed}", f"comparisons.count={count}", f"policy.kl_coef={beta}", f"policy.steps={STEPS}"]
    made = run_in_memory(config.read("nano", [*changes, "reward.cross_check=true"]), cache, until="policy")
    rows = [{key: row[key] for key in KEPT} for row in made["policy"].value.evaluations]
    second = made["reward_model"].summary["second"]
    return {
        "seed": seed,
        "count": count,
        "beta": beta,
        "correlation": second["correlation"],
        "accuracy": second["accuracy"],
        "evaluations": rows,
    }


def table(runs: list[Row]) -> None:
    """A row for each number of comparisons and β: means over seeds."""
    print("| comparisons | β | seeds | correlation | proxy | second | truth | alarms | first at step | truth is down |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for count in COUNTS:
        for beta in BETAS:
            group = [run for run in runs if (run["count"], run["beta"]) == (count, beta)]
            if not group:
                continue
            last = [run["evaluations"][-1] for run in group]
            after = [[row for row in run["evaluations"] if row["step"]] for run in group]
            first = [rows[place]["step"] for rows in after if (place := first_alarm(rows)) is not None]
            down = sum(row["verdict"] in ("over-optimised", "hacking") for row in last)
            means = [float(np.mean([row[key] for row in last])) for key in ("proxy_gain", "second_gain", "truth")]
            cells = [
                str(count),
                f"{beta:g}",
                str(len(group)),
                f"{np.mean([run['correlation'] for run in group]):.2f}",
                *(f"{mean:+.2f}".replace("-", "−") for mean in means),
                f"{len(first)} of {len(group)}",
                f"{np.median(first):.0f}" if first else "–",
                f"{down} of {len(group)}",
            ]
            print("| " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("cross_check.jsonl"))
    asked = parser.parse_args()
    text = asked.out.read_text(encoding="utf-8") if asked.out.exists() else ""
    runs: list[Row] = [json.loads(line) for line in text.splitlines()]
    done = {(run["seed"], run["count"], run["beta"]) for run in runs}
    with asked.out.open("a", encoding="utf-8") as file:
        for seed in range(asked.seeds):
            cache = MemoryCache()
            for count, beta in ((c, b) for c in COUNTS for b in BETAS if (seed, c, b) not in done):
                runs.append(measure(seed, count, beta, cache))
                print(json.dumps(runs[-1]), file=file, flush=True)
    table([run for run in runs if run["seed"] < asked.seeds])


if __name__ == "__main__":
    main()
