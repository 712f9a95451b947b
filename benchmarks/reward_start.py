"""What a head in closed form, and comparisons of answers that end, bring: the reward stage of a recipe, seed by seed.

    python benchmarks/reward_start.py --recipe tiny --seeds 3 --out reward_start.jsonl
    python benchmarks/reward_start.py --recipe reviews --seeds 3 --until evaluation --out reviews.jsonl

Of one seed all variants have the same SFT model; those with `comparisons.unfinished = "keep"` the same comparisons, and the
same held out. One line of the file for each, so that the same command goes on where it was stopped. Seconds: the processor's.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from trueward import config
from trueward.pipeline.cache import MemoryCache
from trueward.pipeline.run import run_in_memory

Row = dict[str, Any]
PROBE = "reward.start=probe"
ENDED = "comparisons.unfinished=redraw"
VARIANTS: dict[str, tuple[str, ...]] = {
    "from zero": (),
    "closed form": (PROBE, "reward.epochs=0"),
    "closed form, half or all layers": (PROBE, "reward.epochs=0", "reward.layers=auto"),
    "closed form, then fine-tuned": (PROBE,),
    "from zero, answers that end": (ENDED,),
    "closed form, answers that end": (ENDED, PROBE, "reward.epochs=0"),
    "closed form, then fine-tuned, answers that end": (ENDED, PROBE),
}
FIGURES = (
    "accuracy",
    "true_accuracy",
    "nll",
    "slope",
    "gain",
    "explained_by_ending",
    "explained_by_length",
    "unit_answers",
)


def measure(recipe: str, seed: int, variant: str, until: str, cache: MemoryCache) -> Row:
    """One variant of one seed."""
    made = config.read(recipe, [f"seed={seed}", "reward.learning_curve=false", *VARIANTS[variant]])
    run_in_memory(made, cache, until="comparisons")
    begun = time.process_time()
    stages = run_in_memory(made, cache, until="reward_model")
    seconds, reward = time.process_time() - begun, stages["reward_model"].summary
    row = {"recipe": recipe, "seed": seed, "variant": variant, "seconds": round(seconds, 1)}
    row |= {key: reward.get(key) for key in FIGURES}
    row["kept"] = [start["kept"] for start in reward.get("starts", [])]
    row["layers"] = [start["layers"] for start in reward.get("starts", [])]
    if until == "evaluation":
        last = run_in_memory(made, cache, until=until)["evaluation"].summary["policies"]["policy"]
        row |= {key: last.get(key) for key in ("truth", "truth_se", "proxy", "kl", "win_rate", "finished")}
    return row


def table(rows: list[Row]) -> None:
    """A row for each variant: means over the seeds that have it, and the mean difference in true accuracy from the first."""
    print(
        "| recipe | variant | seeds | right | of the utility | against zero | loss | best of 2, SD | endings | s | kept |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for recipe in dict.fromkeys(row["recipe"] for row in rows):
        first = {row["seed"]: row for row in rows if row["recipe"] == recipe and row["variant"] == "from zero"}
        for variant in VARIANTS:
            group = [row for row in rows if (row["recipe"], row["variant"]) == (recipe, variant)]
            if not group:
                continue
            pairs = [
                (row["true_accuracy"], first[row["seed"]]["true_accuracy"]) for row in group if row["seed"] in first
            ]
            ahead = [100 * (ours - zero) for ours, zero in pairs]
            kept = [kind for row in group for kind in row["kept"]]
            cells = [
                *(f"{100 * _mean(group, key):.1f} %" for key in ("accuracy", "true_accuracy")),
                ", ".join(f"{points:+.1f}" for points in ahead),
                f"{_mean(group, 'nll'):.3f}",
                f"{_mean(group, 'gain'):+.2f}",
                f"{100 * _mean(group, 'explained_by_ending'):.0f} %",
                f"{_mean(group, 'seconds'):.0f}",
                f"{kept.count('fine-tuned')} of {len(kept)} fine-tuned" if kept else "",
            ]
            print("| " + " | ".join([recipe, variant, str(len(group)), *cells]).replace("-", "−") + " |")


def _mean(group: list[Row], key: str) -> float:
    known = [row[key] for row in group if row[key] is not None]
    return float(np.mean(known)) if known else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="tiny")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--until", choices=("reward_model", "evaluation"), default="reward_model")
    parser.add_argument("--out", type=Path, default=Path("reward_start.jsonl"))
    asked = parser.parse_args()
    text = asked.out.read_text(encoding="utf-8") if asked.out.exists() else ""
    rows: list[Row] = [json.loads(line) for line in text.splitlines()]
    done = {(row["recipe"], row["seed"], row["variant"]) for row in rows}
    for seed in range(asked.seeds):
        cache = MemoryCache()
        for variant in VARIANTS:
            if (asked.recipe, seed, variant) not in done:
                rows.append(measure(asked.recipe, seed, variant, asked.until, cache))
                with asked.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    table(rows)


if __name__ == "__main__":
    main()
