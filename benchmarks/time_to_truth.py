"""Time to truth: seconds from a given SFT model and reward model to a policy that beats SFT by so much, at so small a KL.

    PYTHONPATH=benchmarks python benchmarks/time_to_truth.py --seeds 0,1,2,3,4
    PYTHONPATH=benchmarks python benchmarks/time_to_truth.py --run runs/reviews

Both sides start from the same SFT model, reward model and prompts of a run of `reviews`: ours with the recipe's PPO, TRL 1.12
with its PPO trainer, the recipe's settings where it has them, and its learning rate chosen: all of --rates on the first seed,
the one that arrives first on the others. The weights are kept after every step, off the clock, and the recipe's truth is
measured afterwards on the same held-out prompts. What is in OUT is not run again, so the same command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from speed import arrival, drawing, meter, peers, processes, results, rows

from trueward import config
from trueward.config import Recipe
from trueward.data.collate import Collator
from trueward.models import loading
from trueward.pipeline.run import run_pipeline
from trueward.progress import ProgressLines
from trueward.records import Prompt

HOME = peers.HOME / "time-to-truth"
SETTINGS = (
    "reviews: batch, epochs, minibatches, clip range, λ, β, penalty and prompts of the recipe on both sides (β, penalty and "
    "value clip in the reward model's units for TRL); TRL without accumulation, so that its minibatches are steps, its "
    "learning rate the best of those tried; float32, 2 threads; models loaded and truth measured off the clock"
)


def lower_rungs(seed: int, threads: int) -> Path:
    """The run of `reviews` with that seed up to its reward model."""
    recipe = config.read("reviews", [f"seed={seed}", f"runtime.threads={threads}"])
    run_pipeline(recipe, HOME / "runs", f"reviews,seed={seed}", ProgressLines(), until="reward_model")
    return HOME / "runs" / f"reviews,seed={seed}"


def told(run: Path, recipe: Recipe, rate: float, asked: argparse.Namespace, prompts: Path) -> dict[str, Any]:
    """The recipe in TRL's words, but for what is asked otherwise; `prompts` is written."""
    policy, reward = recipe.policy, json.loads((run / "reward_model" / "model" / "config.json").read_text())
    sft = loading.causal(str(run / "sft" / "model"), 0, loading.pick_device("cpu"))
    collator = Collator(sft.tokenizer, sft.context)
    ids = [collator.prompt_ids(Prompt.model_validate(r)) for r in meter.read_rows(run / "prepare" / "prompts.jsonl")]
    prompts.write_text(json.dumps(ids), encoding="utf-8")
    sd = reward[loading.SD]
    return {
        "sft": str(run / "sft" / "model"),
        "reward": str(run / "reward_model" / "model"),
        "prompts": str(prompts),
        "seed": recipe.seed,
        "rate": rate,
        "iterations": asked.iterations,
        "batch_size": policy.batch_size,
        "minibatches": asked.minibatches or policy.minibatches,
        "epochs": asked.epochs or policy.epochs,
        "longest": recipe.sampler.max_new_tokens,
        "temperature": recipe.sampler.temperature,
        "missing_eos_penalty": policy.missing_eos_penalty * sd or None,
        "kl_coef": policy.kl_coef * sd,
        "clip": policy.clip,
        "value_clip": policy.value_clip * sd,
        "gae_lambda": policy.gae_lambda,
    }


def curve(run: Path, side: str, asked: argparse.Namespace, out: Path) -> dict[str, Any]:
    """One side's truth against seconds; measured if it isn't there. side: "ours", or TRL's learning rate."""
    if out.is_file():
        found: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
        return found
    recipe = config.read(str(run / "recipe.toml"))
    keep, seconds = out.with_suffix(".weights"), out.with_suffix(".seconds.json")
    job: dict[str, Any] = {
        "threads": asked.threads,
        "cpu_time": asked.cpu_time,
        "keep": str(keep),
        "warm_up": 0,
        "run": str(run),
    }
    if not seconds.is_file():
        shutil.rmtree(keep, ignore_errors=True)
        keep.mkdir(parents=True)
        if side == "ours":
            done = processes.measure("truth_ours", {**job, "set": asked.set}, limit=asked.limit)
        else:
            told_too = told(run, recipe, float(side), asked, out.with_suffix(".prompts.json"))
            done = processes.measure("truth_peer", {**job, **told_too}, "trl-ppo", asked.limit)
        results.put(seconds, {"at": done["at"], "memory": done["memory"]})
    timed = json.loads(seconds.read_text(encoding="utf-8"))
    scores = out.with_suffix(".scores.jsonl")
    processes.measure("truth_score", {**job, "scores": str(scores), "prompts": asked.prompts}, limit=asked.limit)
    points = [{"seconds": timed["at"][r["step"] - 1], **r} for r in sorted(meter.read_rows(scores), key=by_step)]
    found = {"side": side, "seed": recipe.seed, "memory": timed["memory"], "points": points}
    results.put(out, found)
    shutil.rmtree(keep)
    return found


def by_step(row: dict[str, Any]) -> int:
    return int(row["step"])


def best(curves: dict[str, dict[str, Any]], goal: float, kl: float) -> str:
    """The learning rate that arrives first; where none does, the one that came highest within that KL."""

    def order(rate: str) -> tuple[float, float]:
        points = curves[rate]["points"]
        there = arrival.arrival(points, goal, kl)
        within = [p["truth_gain"] for p in points if p["kl"] <= kl]
        return (there.seconds if there else float("inf"), -max(within, default=float("-inf")))

    return min(curves, key=order)


def picture(ours: list[dict[str, Any]], theirs: list[dict[str, Any]], goal: float) -> str:
    """Truth against seconds, one line a seed and side."""
    lines = []
    for name, tone, several in (("trueward", 1, ours), ("TRL 1.12", 2, theirs)):
        for found in several:
            start = [{"seconds": 0.0, "truth_gain": 0.0}, *found["points"]]
            lines.append(
                (f"{name}, seed {found['seed']}", tone, [p["seconds"] for p in start], [p["truth_gain"] for p in start])
            )
    return drawing.lines("Truth against time", "seconds", f"truth above SFT, SDs (goal {goal:g})", lines)


def main(argv: list[str] | None = None) -> None:
    processes.end_with_children()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="a finished run of reviews; else one a seed is made")
    parser.add_argument("--seeds", default="0,1,2,3,4")
    parser.add_argument("--goal", type=float, default=1.0, help="truth above SFT's, in SDs")
    parser.add_argument("--kl", type=float, default=13.0, help="nats from SFT at most")
    parser.add_argument("--rates", default="1e-4,3e-4,6e-4", help="learning rates that TRL may choose from")
    parser.add_argument("--epochs", type=int, default=0, help="TRL's; 0: the recipe's (its own default is 4)")
    parser.add_argument("--minibatches", type=int, default=0, help="TRL's; 0: the recipe's (its own default is 1)")
    parser.add_argument("--iterations", type=int, default=40, help="TRL's, at most")
    parser.add_argument("--prompts", type=int, default=256, help="held-out prompts that the truth is measured on")
    parser.add_argument("--limit", type=float, default=7200, help="seconds that one training may take")
    parser.add_argument("--set", action="append", default=[], help="a setting of ours, section.field=value")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true", help="count the processor's time: for a busy machine")
    parser.add_argument("--folder", type=Path, default=HOME / "curves")
    parser.add_argument("--out", type=Path, default=peers.ROOT / "benchmarks" / "results.json")
    parser.add_argument("--svg", type=Path, default=peers.ROOT / "docs" / "images" / "time-to-truth.svg")
    asked = parser.parse_args(argv)
    if why := peers.install("trl-ppo"):
        sys.exit(f"TRL 1.12 could not be installed: {why}")
    asked.folder.mkdir(parents=True, exist_ok=True)
    rates, ours, theirs = asked.rates.split(","), [], []
    apart = "".join(f",{name}={n}" for name in ("epochs", "minibatches") if (n := getattr(asked, name)))
    runs = [asked.run] if asked.run else [lower_rungs(int(s), asked.threads) for s in asked.seeds.split(",")]
    for run in runs:
        seed = config.read(str(run / "recipe.toml")).seed
        ours.append(curve(run, "ours", asked, asked.folder / f"{','.join(['ours', *asked.set])},seed={seed}.json"))
        tried = {r: curve(run, r, asked, asked.folder / f"trl,rate={r}{apart},seed={seed}.json") for r in rates}
        chosen = best(tried, asked.goal, asked.kl)
        rates = [chosen]
        theirs.append(tried[chosen])
        for found in (ours[-1], theirs[-1]):
            there = arrival.arrival(found["points"], asked.goal, asked.kl)
            said = f"{there.seconds:.1f} s, KL {there.kl:.1f}" if there else "did not arrive"
            print(f"seed {seed}, {found['side']}: {said}", file=sys.stderr)
    asked.svg.parent.mkdir(parents=True, exist_ok=True)
    asked.svg.write_text(picture(ours, theirs, asked.goal), encoding="utf-8")
    both = [(a["points"], b["points"]) for a, b in zip(ours, theirs, strict=True)]
    row = as_row(arrival.race(both, asked.goal, asked.kl), ours, theirs, rates[0], asked)
    results.write(asked.out, results.merged(results.read(asked.out), [row]))
    print(rows.markdown([row]))


def as_row(
    race: arrival.Race | None, ours: list[Any], theirs: list[Any], rate: str, asked: argparse.Namespace
) -> results.Row:
    """The line in results.json; seconds, so the smaller is the better, and the ratio is the peer's to ours."""
    settings = "".join(f", its {name} {n}" for name in ("epochs", "minibatches") if (n := getattr(asked, name)))
    note = f"goal {asked.goal:g} SDs at KL ≤ {asked.kl:g}, seeds: {len(ours)}, TRL's rate {rate}{settings}"
    if race is None:
        note += "; ours did not arrive on every seed"
    elif race.bound:
        note += "; TRL did not arrive on every seed and counts with the time it had, so the ratio is a lower bound"
    return {
        "name": "time-to-truth",
        "size": "S",
        "ours": race and race.ours,
        "peer": race and race.peer,
        "ratio": race and race.ratio,
        "ratio_low": race and race.low,
        "unit": "s",
        "share_of_limit": None,
        "memory_ours": max(c["memory"] for c in ours),
        "memory_peer": max(c["memory"] for c in theirs),
        "ratio_high": race and race.high,
        "peer_name": "TRL 1.12 PPOTrainer",
        "settings": SETTINGS,
        "note": note,
    }


if __name__ == "__main__":
    main()
