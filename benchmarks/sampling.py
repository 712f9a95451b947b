"""What DPO pays for not sampling: offline DPO, online DPO and PPO from the same comparisons, over β.

    python benchmarks/sampling.py nano --seeds 5
    python benchmarks/sampling.py reviews --seeds 3 --jobs 2

All three start from the same SFT policy and the same comparisons of a seed. Offline DPO learns from them directly; online
DPO and PPO learn against the reward model that was fitted to them, on answers of their own. So all have had the same labels.
β means the same for PPO and online DPO (SDs of the proxy); for offline DPO its unit is the logit of a choice, so what is
compared is the best β of each, and the truth at the same distance from SFT. Prints its table; everything measured stands
in OUT, and what is there is not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
METHODS = ("offline DPO", "online DPO", "PPO")
BETAS = {
    "nano": {"offline DPO": (0.03, 0.1, 0.3, 1.0), "online DPO": (0.03, 0.1, 0.3, 1.0), "PPO": (0.03, 0.1, 0.3, 1.0)},
    "reviews": {"offline DPO": (0.03, 0.1), "online DPO": (0.03, 0.1), "PPO": (0.03, 0.1)},
}
LABELS = {"nano": (300, 1000, 3000), "reviews": (4000,)}
KIND: dict[str, tuple[str, ...]] = {
    "offline DPO": ("policy.kind=dpo",),
    "online DPO": ("policy.kind=dpo", "policy.dpo.online=true"),
    "PPO": ("policy.kind=ppo",),
}
RATES = {"nano": {"offline DPO": 0.1, "online DPO": 0.1}, "reviews": {"offline DPO": 3e-4, "online DPO": 1e-3}}
KLS = {"nano": (2.0, 5.0, 10.0), "reviews": (3.0, 6.0, 12.0)}


def on_nano(seeds: int, folder: Path, jobs: int) -> Iterator[Row]:
    """In memory; one file a run."""
    from trueward import config
    from trueward.pipeline.cache import MemoryCache
    from trueward.pipeline.run import run_in_memory

    for labels in LABELS["nano"]:
        for seed in range(seeds):
            cache = MemoryCache()
            for method in METHODS:
                for beta in BETAS["nano"][method]:
                    path = folder / f"{method.replace(' ', '-')},labels={labels},beta={beta},seed={seed}.json"
                    if not path.is_file():
                        changes = [f"seed={seed}", f"comparisons.count={labels}", "evaluation.step_prompts=384"]
                        changes += [*KIND[method], f"policy.kl_coef={beta}"]
                        if method in RATES["nano"]:
                            changes.append(f"policy.dpo.learning_rate={RATES['nano'][method]}")
                        if method == "offline DPO":  # 128 pairs a step, as many answers as the others have
                            changes.append(f"policy.batch_size={min(128, labels)}")
                        if method == "online DPO":
                            changes.append("policy.batch_size=128")
                        made = run_in_memory(config.read("nano", changes), cache, until="policy")
                        path.write_text(json.dumps(made["policy"].value.evaluations))
                        print(path.name, flush=True)
                    yield from rows(method, labels, beta, seed, json.loads(path.read_text()))


def on_reviews(seeds: int, folder: Path, jobs: int) -> Iterator[Row]:
    """Ordinary runs of the recipe under one home, so that a seed's lower rungs are made once."""
    from trueward import config
    from trueward.pipeline import workers

    work = {}
    for seed in range(seeds):
        for method in METHODS:
            for beta in BETAS["reviews"][method]:
                more = [f"seed={seed}", *KIND[method], f"policy.kl_coef={beta}", "runtime.threads=1"]
                if method == "offline DPO":  # as many passes over the labels as the reward model has
                    more += ["policy.steps=120", "policy.batch_size=64", "evaluation.every=20"]
                if method == "online DPO":
                    more.append("policy.batch_size=56")
                name = f"{method.replace(' ', '-')},beta={beta},seed={seed}"
                if rate := RATES["reviews"].get(method):
                    more.append(f"policy.dpo.learning_rate={rate}")
                    name += f",rate={rate}"
                work[name] = (method, beta, seed, workers.Job(config.read("reviews", more), folder, name))
    first = {seed: job for _, _, seed, job in reversed(work.values())}
    workers.run_jobs(
        [workers.Job(j.recipe, j.home, j.name, "reward_model") for j in first.values()], jobs, lambda j, wrong: None
    )
    left = [job for _, _, _, job in work.values() if not (folder / job.name / "report.json").is_file()]
    failed = workers.run_jobs(left, jobs, lambda job, wrong: print(job.name, wrong, flush=True))
    assert not failed, failed
    for method, beta, seed, job in work.values():
        report = json.loads((folder / job.name / "report.json").read_text())
        looks = [*report["history"][:-1], {**report["history"][-1], **report["policies"]["policy"]}]
        yield from rows(method, LABELS["reviews"][0], beta, seed, looks)


def rows(method: str, labels: int, beta: float, seed: int, looks: list[Row]) -> Iterator[Row]:
    yield {
        "method": method,
        "labels": labels,
        "beta": beta,
        "seed": seed,
        "truth": looks[-1]["truth"],
        "truth_se": looks[-1]["truth_se"],
        "proxy": looks[-1]["proxy"],
        "kl": looks[-1]["kl"],
        "peak": max(look["truth"] for look in looks),
        "evaluations": [(look["kl"], look["truth"]) for look in looks],
    }


def interval(values: list[float]) -> str:
    """Mean and half a 95 % interval over the seeds."""
    from trueward.evaluation.statistics import student_quantile

    if len(values) < 2:
        return f"{values[0]:+.2f}"
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{np.mean(values):+.2f} ± {student_quantile(0.975, len(values) - 1) * error:.2f}"


def at_distance(row: Row, kl: float) -> float:
    """The truth where the run's path first came to this KL, between two looks; NaN if it never did."""
    path = row["evaluations"]
    for (k0, t0), (k1, t1) in itertools.pairwise(path):
        if k0 <= kl <= k1:
            share = (math.sqrt(kl) - math.sqrt(max(k0, 0))) / max(math.sqrt(k1) - math.sqrt(max(k0, 0)), 1e-9)
            return float(t0 + share * (t1 - t0))
    return math.nan


def table(found: list[Row], kls: tuple[float, ...]) -> Iterator[str]:
    head = " | ".join(f"truth at KL {kl:g}" for kl in kls)
    yield f"| comparisons | method | best β | truth | KL | {head} |"
    yield "|---|---|---|---|---|" + "---|" * len(kls)
    for labels in dict.fromkeys(r["labels"] for r in found):
        for method in METHODS:
            mine = [r for r in found if r["labels"] == labels and r["method"] == method]
            mean = {b: np.mean([r["truth"] for r in mine if r["beta"] == b]) for b in {r["beta"] for r in mine}}
            best = max(mean, key=lambda b: mean[b])
            chosen = [r for r in mine if r["beta"] == best]
            there = []
            for kl in kls:
                by_seed = [
                    float(np.nanmean(at))
                    for seed in {r["seed"] for r in mine}
                    if not np.isnan(at := [at_distance(r, kl) for r in mine if r["seed"] == seed]).all()
                ]
                there.append(interval(by_seed) if by_seed else "–")
            yield (
                f"| {labels:,} | {method} | {best:g} | {interval([r['truth'] for r in chosen])} "
                f"| {np.mean([r['kl'] for r in chosen]):.1f} | {' | '.join(there)} |"
            )


def over_prompts(row: Row) -> str:
    """Half a 95 % interval over a run's held-out prompts: all that one seed can say."""
    return f" ± {1.96 * row['truth_se']:.2f}"


def every_beta(found: list[Row]) -> Iterator[str]:
    one = len({r["seed"] for r in found}) == 1
    yield f"| labels | method | β | truth{', ± over prompts' if one else ''} | proxy | KL |"
    yield "|---|---|---|---|---|---|"
    for key in dict.fromkeys((r["labels"], r["method"], r["beta"]) for r in found):
        mine = [r for r in found if (r["labels"], r["method"], r["beta"]) == key]
        yield (
            f"| {key[0]:,} | {key[1]} | {key[2]:g} "
            f"| {interval([r['truth'] for r in mine])}{over_prompts(mine[0]) if one else ''} "
            f"| {np.mean([r['proxy'] for r in mine]):+.2f} | {np.mean([r['kl'] for r in mine]):.1f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("nano", "reviews"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    folder = asked.out or Path("runs") / f"sampling-{asked.task}"
    folder.mkdir(parents=True, exist_ok=True)
    measure: Callable[[int, Path, int], Iterator[Row]] = {"nano": on_nano, "reviews": on_reviews}[asked.task]
    found = list(measure(asked.seeds, folder, asked.jobs))
    print(f"\n{asked.task}, {asked.seeds} seeds; truth in SDs under SFT, ± 95 % over the seeds\n")
    print("\n".join(table(found, KLS[asked.task])))
    print("\nEvery β:\n")
    print("\n".join(every_beta(found)))


if __name__ == "__main__":
    main()
