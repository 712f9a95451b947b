"""The overoptimisation experiment: reward models of so many comparisons, anchors of so much weight, proxy and truth by √KL.

    python benchmarks/overoptimisation.py nano --seeds 5
    python benchmarks/overoptimisation.py reviews --counts 300,3000 --betas 0,0.1,1 --seeds 1 --out overoptimisation

After Gao et al. 2023 (arXiv 2210.10760), on two tasks. PPO from the same SFT policy of a seed; the reward model is fitted to
100, 300, 1,000 or 3,000 comparisons. The last rows are relabelled: they begin with fewer comparisons and ask the annotators
about the policy's own answers on the way, until they have had as many labels as the static reward model that they stand
beside. Prints its tables and draws plot.html; what stands in the file of rows is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

Row = dict[str, Any]
COUNTS, BETAS = (100, 300, 1000, 3000), (0.0, 0.03, 0.1, 0.3, 1.0)
STEPS = {"nano": 150, "reviews": 30}
EVERY = {"nano": 10, "reviews": 5}
ASKED = {
    "nano": (300, 1000, 20),
    "reviews": (300, 1500, 5),
}  # comparisons at first, in the end; steps between two rounds
KEPT = ("step", "kl", "proxy", "truth", "truth_se", "verdict")


@dataclass(frozen=True)
class Cell:
    """One run of the grid. relabelled: it begins with fewer than `count` comparisons, and asks for the others on the way."""

    count: int
    beta: float
    seed: int
    relabelled: bool = False

    @property
    def name(self) -> str:
        return f"{'relabelled-' * self.relabelled}{self.count},beta={self.beta:g},seed={self.seed}"


def relabel(task: str) -> tuple[int, int]:
    """Steps between two rounds, and comparisons in each."""
    first, last, every = ASKED[task]
    rounds = (STEPS[task] - 1) // every
    return every, (last - first) // rounds


def grid(task: str, counts: Sequence[int], betas: Sequence[float], seeds: int) -> list[Cell]:
    """All cells, seed by seed; after them those that are relabelled, and what they stand beside."""
    last = ASKED[task][1]
    cells = [Cell(count, beta, seed) for seed in range(seeds) for count in counts for beta in betas]
    for seed in range(seeds):
        for beta in betas[:3]:
            cells += [Cell(last, beta, seed, True)]
            cells += [Cell(last, beta, seed)] if last not in counts else []
    return cells


def changes(cell: Cell, task: str) -> list[str]:
    """What a cell sets in the recipe."""
    every, asked = relabel(task)
    more = [f"policy.relabel.every={every}", f"policy.relabel.comparisons={asked}"] if cell.relabelled else []
    count = ASKED[task][0] if cell.relabelled else cell.count
    more += [f"seed={cell.seed}", f"comparisons.count={count}", f"policy.kl_coef={cell.beta}", "runtime.threads=1"]
    return [*more, f"policy.steps={STEPS[task]}", f"evaluation.every={EVERY[task]}"]


class Kept:
    """The looks of each finished cell, a line of a file each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
        self.looks: dict[str, list[Row]] = {row["cell"]: row["looks"] for row in map(json.loads, lines)}

    def add(self, name: str, looks: Sequence[Row]) -> None:
        kept = [{key: look[key] for key in KEPT} for look in looks]
        self.looks[name] = kept
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"cell": name, "looks": kept}) + "\n")
        print(name, flush=True)


def on_nano(cells: Sequence[Cell], kept: Kept) -> None:
    """In memory, those of one seed after each other."""
    from trueward import config
    from trueward.pipeline.cache import MemoryCache
    from trueward.pipeline.run import run_in_memory

    seed, cache = -1, MemoryCache()
    for cell in sorted(cells, key=lambda cell: cell.seed):
        if cell.seed != seed:
            seed, cache = cell.seed, MemoryCache()
        recipe = config.read("nano", changes(cell, "nano"))
        kept.add(cell.name, run_in_memory(recipe, cache, until="policy")["policy"].value.evaluations)


def on_reviews(cells: Sequence[Cell], kept: Kept, home: Path, jobs: int) -> None:
    """Ordinary runs of the recipe under one home, so that what they share is made once."""
    from trueward import config
    from trueward.pipeline import workers

    def done(job: workers.Job, wrong: str) -> None:
        if wrong:
            print(job.name, wrong, flush=True)
            return
        looks = (home / job.name / "policy/evaluations.jsonl").read_text(encoding="utf-8").splitlines()
        kept.add(job.name, [json.loads(look) for look in looks])

    work = []
    for cell in cells:
        recipe = config.read("reviews", [*changes(cell, "reviews"), "evaluation.control=never"])
        work.append(workers.Job(recipe, home, cell.name, until="policy"))
    if work:
        workers.run_jobs([replace(work[0], until="sft")], 1, lambda job, wrong: None)
    failed = workers.run_jobs(work, jobs, done)
    assert not failed, failed


def interval(values: Sequence[float]) -> str:
    """Mean and half a 95 % interval over seeds (Student's)."""
    from trueward.evaluation.statistics import student_quantile

    if len(values) < 2:
        return f"{values[0]:+.2f}" if values else ""
    half = student_quantile(0.975, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return f"{np.mean(values):+.2f} ± {half:.2f}"


def tables(found: dict[Cell, list[Row]], task: str) -> Iterator[str]:
    from trueward.evaluation.sweep import fit_form

    counts, betas = sorted({c.count for c in found if not c.relabelled}), sorted({c.beta for c in found})

    def runs(count: int, beta: float, relabelled: bool = False) -> list[list[Row]]:
        return [r for c, r in found.items() if (c.count, c.beta, c.relabelled) == (count, beta, relabelled)]

    yield "Truth at the end, by comparisons and β; in brackets the proxy, and the verdicts."
    yield ""
    yield "| comparisons | " + " | ".join(f"β = {b:g}" for b in betas) + " |"
    yield "|---|" + "---|" * len(betas)
    for count, again in [*((c, False) for c in counts), (ASKED[task][1], True)]:
        cells = []
        for beta in betas:
            group = runs(count, beta, again)
            words = [r[-1]["verdict"] for r in group]
            said = ", ".join(f"{w} {words.count(w)}" if len(words) > 1 else w for w in dict.fromkeys(words))
            ends = interval([r[-1]["truth"] for r in group])
            cells.append(f"{ends} ({np.mean([r[-1]['proxy'] for r in group]):+.1f}) {said}" if group else "")
        yield f"| {f'{ASKED[task][0]:,}, relabelled to ' * again}{count:,} | " + " | ".join(cells) + " |"
    loose = betas[0]
    yield ""
    yield f"The way at β = {loose:g}: the highest truth and where it was; Gao's form d(α − β log d) fitted to it, d = √KL."
    yield ""
    yield "| comparisons | highest truth | at step | at √KL | α | β | R² |"
    yield "|---|---|---|---|---|---|---|"
    for count in counts:
        group = runs(count, loose)
        if not group:
            continue
        tops = [max(r[1:], key=lambda row: row["truth"]) for r in group]
        path = [row for r in group for row in r if row["kl"] and row["kl"] > 0.01]
        start = float(np.mean([r[0]["truth"] for r in group]))
        form = fit_form([math.sqrt(row["kl"]) for row in path], [row["truth"] - start for row in path])
        fitted = f"{form.alpha:.2f} | {form.beta:.2f} | {form.r_squared:.2f}" if form else " | | "
        where = f"{np.mean([t['step'] for t in tops]):.0f} | {np.mean([math.sqrt(t['kl']) for t in tops]):.1f}"
        yield f"| {count:,} | {interval([t['truth'] for t in tops])} | {where} | {fitted} |"


def plot(found: dict[Cell, list[Row]], beta: float, path: Path) -> None:
    """Truth and proxy by √KL at this β, one colour for each number of comparisons; means over seeds, step by step."""
    from trueward.reporting.chart_series import Series
    from trueward.reporting.chart_style import STYLE, TONE_STYLE
    from trueward.reporting.charts import line_chart

    drawn = []
    for key, name in (("truth", "Truth"), ("proxy", "Proxy")):
        series = []
        for tone, count in enumerate(sorted({c.count for c in found if not c.relabelled})):
            group = [r for c, r in found.items() if (c.count, c.beta, c.relabelled) == (count, beta, False)]
            steps = list(zip(*group, strict=True))
            x = [math.sqrt(max(0.0, float(np.mean([row["kl"] for row in rows])))) for rows in steps]
            y = [float(np.mean([row[key] for row in rows])) for rows in steps]
            series.append(Series(f"{count:,}", y, x=x, tone=tone, kind="truth" if key == "truth" else "proxy"))
        title = f"{name} by distance, without an anchor, by comparisons"
        drawn.append(line_chart(title, "√KL, √nats", f"{name.lower()}, SDs", series, x=series[0].x or [], thin=True))
    style = f"body{{width:860px;margin:0;padding:12px;font:14px system-ui}}{STYLE}{TONE_STYLE}"
    path.write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{''.join(drawn)}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=STEPS)
    parser.add_argument("--counts", type=lambda s: [int(x) for x in s.split(",")], default=list(COUNTS))
    parser.add_argument("--betas", type=lambda s: [float(x) for x in s.split(",")], default=list(BETAS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("overoptimisation"))
    parser.add_argument("--rows", type=Path, help="the file of what each run came to (default: OUT/TASK/rows.jsonl)")
    parser.add_argument("--most", type=int, help="runs now, at most; the same command goes on from there")
    asked = parser.parse_args()
    folder = asked.out / asked.task
    folder.mkdir(parents=True, exist_ok=True)
    rows = asked.rows or folder / "rows.jsonl"
    rows.parent.mkdir(parents=True, exist_ok=True)
    kept = Kept(rows)
    cells = grid(asked.task, asked.counts, asked.betas, asked.seeds)
    left = [cell for cell in cells if cell.name not in kept.looks][: asked.most]
    if asked.task == "nano":
        on_nano(left, kept)
    else:
        on_reviews(left, kept, folder, asked.jobs)
    found = {cell: kept.looks[cell.name] for cell in cells if cell.name in kept.looks}
    if len(found) < len(cells):
        print(f"{len(found)} of {len(cells)} runs are there; the same command goes on with the others.\n")
    print("\n".join(tables(found, asked.task)))
    plot(found, asked.betas[0], folder / "plot.html")


if __name__ == "__main__":
    main()
