"""The tables of docs/nano.md: python scripts/measure_nano.py [--seeds 10] [--out nano.jsonl]; some minutes on one core.

Every run's looks go to the file as a JSON line, so that a table can be made anew without measuring again (--read).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trueward.pipeline import nano
from trueward.pipeline.reward_eval import evaluate_reward_model

BETAS = (0.0, 0.3, 1.0)
OTHERS = (0.1, 3.0, 30.0)  # on fewer seeds, as best-of-n
FEWER = 3
BEST_OF = (4, 16, 64, 256, 1024)
PROMPTS_OF_BEST = 32

Row = dict[str, Any]


def measure(seeds: int, out: Path) -> None:
    labs = {seed: nano.lab(seed) for seed in range(seeds)}
    with out.open("w", encoding="utf-8") as file:

        def tell(row: Row) -> None:
            print(json.dumps(row), file=file, flush=True)

        for seed, lab in labs.items():
            repeated = [v.parts["repeated"] < 0 for v in nano.DistinctWords(())(lab.answers)]
            examined = evaluate_reward_model(lab.proxy, lab.examined)
            tell({"of": "lab", "seed": seed, "flips": lab.flips, "repeated": float(np.mean(repeated)), **examined})
        for beta in (*BETAS, *OTHERS):
            for seed, lab in list(labs.items())[: seeds if beta in BETAS else FEWER]:
                tell({"of": "ppo", "beta": beta, "seed": seed, "rows": nano.climb(lab, kl_coef=beta)})
                print(f"β = {beta}, seed {seed}", flush=True)
        for n in BEST_OF:
            for seed, lab in list(labs.items())[:FEWER]:
                rows = nano.climb(lab, kind="best_of_n", best_of_n={"n": n}, prompts=PROMPTS_OF_BEST)
                tell({"of": "best_of_n", "n": n, "seed": seed, "rows": rows})
            print(f"best of {n}", flush=True)


def spread(values: list[float], digits: int = 2) -> str:
    """Mean [min, max]."""
    mean, low, high = np.mean(values), min(values), max(values)
    return f"{mean:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]".replace("-", "−")


def table(runs: list[Row]) -> None:
    labs = [r for r in runs if r["of"] == "lab"]
    for key in ("flips", "repeated", "accuracy"):
        print(f"{key}: {spread([r[key] for r in labs], 3)}")

    def last(key: str) -> Callable[[Row], float]:
        return lambda run: float(run["rows"][-1][key])

    print("\n| β | seeds | truth | its peak | at step | proxy | KL | entropy |\n|---|---|---|---|---|---|---|---|")
    for beta in sorted({r["beta"] for r in runs if r["of"] == "ppo"}):
        of = [r for r in runs if r["of"] == "ppo" and r["beta"] == beta]
        peaks = [max(r["rows"], key=lambda row: row["truth"]) for r in of]
        cells = [str(len(of)), spread([last("truth")(r) for r in of]), spread([p["truth"] for p in peaks])]
        cells.append(f"{min(p['step'] for p in peaks)}–{max(p['step'] for p in peaks)}")
        cells += [
            spread([last(key)(r) for r in of], digits) for key, digits in (("proxy", 1), ("kl", 1), ("entropy", 2))
        ]
        print(f"| {beta:g} | {' | '.join(cells)} |")

    print("\n| n | truth | proxy | KL at most |\n|---|---|---|---|")
    for n in sorted({r["n"] for r in runs if r["of"] == "best_of_n"}):
        of = [r for r in runs if r["of"] == "best_of_n" and r["n"] == n]
        kl = of[0]["rows"][0]["kl"]
        print(
            f"| {n} | {spread([last('truth')(r) for r in of])} | {spread([last('proxy')(r) for r in of])} | {kl:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("nano.jsonl"))
    parser.add_argument("--read", action="store_true", help="make the tables of --out again, without measuring")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if not arguments.read:
        measure(arguments.seeds, arguments.out)
    table([json.loads(row) for row in arguments.out.read_text(encoding="utf-8").splitlines()])


if __name__ == "__main__":
    main()
