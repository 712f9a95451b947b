"""The tables of docs/nano.md: python scripts/measure_nano.py [--seeds 10] [--out nano.jsonl]; some minutes on one core.

Every run's evaluations go to the file as a JSON line, so that a table can be made anew without measuring again (--read).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from trueward import config
from trueward.pipeline.cache import MemoryCache
from trueward.pipeline.graph import Results
from trueward.pipeline.run import run_in_memory
from trueward.scorers.nano_utility import DistinctWords
from trueward.scorers.scorer import scores

BETAS = (0.0, 0.3, 1.0)
OTHERS = (0.1, 3.0, 30.0)  # on fewer seeds, as best-of-n
FEWER = 3
BEST_OF = (4, 16, 64, 256, 1024)
PROMPTS_OF_BEST = 32

Row = dict[str, Any]


def measure(seeds: int, out: Path) -> None:
    with out.open("w", encoding="utf-8") as file:

        def tell(row: Row) -> None:
            print(json.dumps(row), file=file, flush=True)

        for seed in range(seeds):
            cache = MemoryCache()

            def made(until: str, *changes: str, seed: int = seed, cache: MemoryCache = cache) -> Results:
                return run_in_memory(config.read("nano", [f"seed={seed}", *changes]), cache, until=until)

            tell({"of": "lab", "seed": seed, **lower_stages(made("reward_model"))})
            for beta in (*BETAS, *OTHERS) if seed < FEWER else BETAS:
                policy = made("policy", f"policy.kl_coef={beta}")["policy"].value
                tell({"of": "ppo", "beta": beta, "seed": seed, "rows": policy.evaluations})
                print(f"β = {beta}, seed {seed}", flush=True)
            for n in BEST_OF if seed < FEWER else ():
                changes = (
                    "policy.kind=best_of_n",
                    f"policy.best_of_n.n={n}",
                    f"evaluation.final_prompts={PROMPTS_OF_BEST}",
                )
                final = made("evaluation", *changes)["evaluation"].value
                tell({"of": "best_of_n", "n": n, "seed": seed, "rows": [final.policies["policy"]]})
                print(f"best of {n}, seed {seed}", flush=True)


def lower_stages(made: Results) -> Row:
    """How often annotators chose the worse answer (equal ones count half) and SFT repeats itself; how good the proxy is."""
    prepared, sft, comparisons = (made[name].value for name in ("prepare", "sft", "comparisons"))
    sides = [side for c in comparisons.rows for side in c.completions()]
    first, second = scores(prepared.annotators["a"], sides).reshape(-1, 2).T
    chose_first = np.array([c.probability for c in comparisons.rows])
    wrong = np.where(first == second, 0.5, np.where(first > second, 1 - chose_first, chose_first))
    repeated = [v.parts["repeated"] < 0 for v in DistinctWords(())(sft.answers)]
    examined = {key: made["reward_model"].summary[key] for key in ("accuracy", "accuracy_low", "accuracy_high", "nll")}
    return {"flips": float(wrong.mean()), "repeated": float(np.mean(repeated)), **examined}


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

    print("\n| n | seeds | truth | proxy | KL at most |\n|---|---|---|---|---|")
    for n in sorted({r["n"] for r in runs if r["of"] == "best_of_n"}):
        of = [r for r in runs if r["of"] == "best_of_n" and r["n"] == n]
        kl = of[0]["rows"][0]["kl"]
        print(
            f"| {n:,} | {len(of)} | {spread([last('truth')(r) for r in of])} "
            f"| {spread([last('proxy')(r) for r in of])} | {kl:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=Path("nano.jsonl"))
    parser.add_argument("--read", action="store_true", help="make the tables of --out again, without measuring")
    arguments = parser.parse_args()
    if not arguments.read:
        measure(arguments.seeds, arguments.out)
    table([json.loads(row) for row in arguments.out.read_text(encoding="utf-8").splitlines()])


if __name__ == "__main__":
    main()
