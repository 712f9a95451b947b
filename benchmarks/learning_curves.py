"""What a setting that changes the algorithm does to learning: truth against steps and against seconds, with and without it.

    PYTHONPATH=benchmarks python benchmarks/learning_curves.py --run runs/reviews --seeds 0,1,2,3,4

Each variant is the policy stage of one finished run of `reviews` again, from its SFT model and its reward model, with other
seeds for what is sampled. Weights are kept after every step, off the clock, and the recipe's truth is measured afterwards on
the same held-out prompts. What is in FOLDER is not run again.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from speed import drawing, meter, peers, processes, results

TWICE = ("policy.epochs=2", "policy.minibatches=4")
VARIANTS = {
    "as the recipe has it": (),
    "two epochs, a value network of its own": ("policy.critic.trunk=own", *TWICE),
    "two epochs, value head on the policy's network": TWICE,
    "two epochs, own value network, top two layers learn": (
        "policy.critic.trunk=own",
        "policy.trainable_layers=2",
        *TWICE,
    ),
    "two epochs, value head, top two layers learn": ("policy.trainable_layers=2", *TWICE),
    "rollouts in bfloat16": ("sampler.engine.quantize=bfloat16", "policy.importance_sampling_cap=2"),
    "rollouts in int8": ("sampler.engine.quantize=int8", "policy.importance_sampling_cap=2"),
    "top two layers learn, at a higher rate": ("policy.trainable_layers=2", "policy.learning_rate=1e-3"),
}
SHOWN = (5, 10, 15, 20)
Curve = dict[str, Any]


def curve(name: str, settings: tuple[str, ...], seed: int, asked: argparse.Namespace) -> Curve:
    """One run of the policy stage; measured if it isn't there."""
    out: Path = asked.folder / f"{','.join(settings) or 'plain'},seed={seed}.json"
    if out.is_file():
        known: Curve = json.loads(out.read_text(encoding="utf-8"))
        return known
    keep = out.with_suffix(".weights")
    job: dict[str, Any] = {
        "threads": asked.threads,
        "cpu_time": asked.cpu_time,
        "keep": str(keep),
        "warm_up": 0,
        "run": str(asked.run),
    }
    keep.mkdir(parents=True, exist_ok=True)
    told = [*settings, f"seed={seed}", *asked.set]
    done = processes.measure("truth_ours", {**job, "set": told}, limit=asked.limit)
    for weights in keep.glob("*.safetensors"):
        if int(weights.stem) % asked.every:
            weights.unlink()
    scores = out.with_suffix(".scores.jsonl")
    scores.unlink(missing_ok=True)
    processes.measure("truth_score", {**job, "scores": str(scores), "prompts": asked.prompts}, limit=asked.limit)
    points = sorted(meter.read_rows(scores), key=lambda row: int(row["step"]))
    for point in points:
        point["seconds"] = done["at"][int(point["step"]) - 1]
        (keep / f"{int(point['step']):05d}.safetensors").unlink(missing_ok=True)
    keep.rmdir()
    found = {"variant": name, "seed": seed, "memory": done["memory"], "points": points}
    results.put(out, found)
    return found


def interval(values: list[float]) -> str:
    """Mean and the half-width of its 95 % interval over seeds (normal)."""
    if not values:
        return "–"
    if len(values) < 2:
        return f"{fmean(values):.2f}"
    return f"{fmean(values):.2f} ± {1.96 * stdev(values) / math.sqrt(len(values)):.2f}"


def table(curves: dict[str, list[Curve]]) -> str:
    """Truth above SFT at some steps, and what a step costs."""
    lines = [
        f"| | {' | '.join(f'truth at step {s}' for s in SHOWN)} | KL at the end | seconds a step | memory, MB |",
        f"|---|{'---|' * (len(SHOWN) + 3)}",
    ]
    for name, several in curves.items():
        by_step = [{int(p["step"]): p for p in c["points"]} for c in several]
        cells = [interval([p[s]["truth_gain"] for p in by_step if s in p]) for s in SHOWN]
        last = [c["points"][-1] for c in several]
        cells.append(interval([p["kl"] for p in last]))
        cells.append(interval([p["seconds"] / int(p["step"]) for p in last]))
        cells.append(f"{max(c['memory'] for c in several) / 1e6:.0f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(curves: dict[str, list[Curve]], by: str, label: str) -> str:
    """The mean over seeds, one line a variant."""
    lines = []
    for tone, (name, several) in enumerate(curves.items(), start=1):
        count = min(len(c["points"]) for c in several)
        x = [fmean(c["points"][i][by] for c in several) for i in range(count)]
        y = [fmean(c["points"][i]["truth_gain"] for c in several) for i in range(count)]
        lines.append((name, tone, [0.0, *x], [0.0, *y]))
    return drawing.lines(f"Truth against {label}", label, "truth above SFT, SDs", lines)


def main(argv: list[str] | None = None) -> None:
    processes.end_with_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a finished run of reviews")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--only", default="", help="variants by number from 0, with commas")
    parser.add_argument("--every", type=int, default=5, help="steps between two measurements")
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--limit", type=float, default=3600)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="count the processor's time: for a busy machine")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--folder", type=Path, default=peers.HOME / "learning-curves")
    parser.add_argument("--images", type=Path, default=peers.ROOT / "docs" / "images")
    asked = parser.parse_args(argv)
    asked.folder.mkdir(parents=True, exist_ok=True)
    only = [int(i) for i in asked.only.split(",") if i]
    curves: dict[str, list[Curve]] = {}
    for seed in (int(s) for s in asked.seeds.split(",")):
        for number, (name, settings) in enumerate(VARIANTS.items()):
            if not only or number in only:
                curves.setdefault(name, []).append(curve(name, settings, seed, asked))
        print(table(curves), flush=True)
    for by, label in (("step", "steps"), ("seconds", "seconds")):
        (asked.images / f"learning-{label}.svg").write_text(picture(curves, by, label), encoding="utf-8")


if __name__ == "__main__":
    main()
