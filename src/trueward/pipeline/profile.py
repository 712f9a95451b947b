"""A few real steps of every stage, timed: where the time goes, how close it is to the machine's limit, what to change."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from trueward import artifacts, config
from trueward.config import Recipe
from trueward.models import loading
from trueward.pipeline import device_meters, relabel_people
from trueward.pipeline.cache import RunCache
from trueward.pipeline.flops import flop_counter
from trueward.pipeline.graph import graph
from trueward.pipeline.process import process_settings
from trueward.pipeline.profiler import WatchedCache, watching
from trueward.pipeline.run import check_inputs
from trueward.pipeline.stage_clock import WORK, Clock, Counts
from trueward.pipeline.surroundings import run_env, token_budget, with_precision
from trueward.progress import Progress
from trueward.training.env import Trial

REUSED = ("prepare", "sft", "comparisons", "reward_model", "reward")  # from an existing run
ANSWERS = 48  # of the SFT policy to set the scale by, in place of 384, where SFT is run
COMPARISONS = 400  # at most; fewer suffice to time the sampler
LARGE = 50e6  # bytes of the weights / 4 from which on coarser weights are faster


def recipe_of(named: str, changes: list[str]) -> tuple[Recipe, Path | None]:
    """A recipe, and the run it belongs to if `named` is a run, by its directory or its name under runs/."""
    for path in (Path(named), Path("runs") / named):
        if artifacts.is_run(path):
            return config.read(str(path / "recipe.toml"), changes), path
    return config.read(named, changes), None


def profile(named: str, changes: list[str], steps: int, progress: Progress) -> dict[str, Any]:
    """The figures that `trueward profile` prints, as JSON. `ValueError` for a recipe or run that can't be used.

    Everything is run twice: with one step of each loop to count operations, which doubles the time of small networks, and with
    `steps` to measure the time.
    """
    recipe, run = recipe_of(named, changes)
    small = {
        **recipe.evaluation.model_dump(),
        "final_prompts": 16,
        "step_prompts": 16,
        "every": 10**6,
        "control": "never",
    }
    comparisons = recipe.comparisons.model_copy(update={"count": min(recipe.comparisons.count, COMPARISONS)})
    runtime = recipe.runtime.model_copy(update={"tracking": "none"})
    changed = {"evaluation": type(recipe.evaluation)(**small), "comparisons": comparisons, "runtime": runtime}
    recipe = recipe.model_copy(update=changed)
    with flop_counter() as counter:
        counting = Clock(flops=counter.get_total_flops)
        measure(recipe, run, 1, progress, counting)
    device = loading.pick_device(recipe.runtime.device)
    clock = Clock(device_meters.seconds_on(device))
    device_meters.begin_peak(device)
    measure(recipe, run, steps, progress, clock)
    peak = device_meters.peak_mb(device)
    for timed, counted in zip(clock.stages, counting.stages, strict=True):
        timed.flops = scaled(counted, timed)
    limits = device_meters.limits(device)
    rows = [_row(counts, limits) for counts in clock.stages]
    profiled = {"recipe": recipe.name, "run": str(run) if run else None, "machine": limits, "stages": rows}
    return {**profiled, "peak_memory_mb": peak, "advice": advice(recipe, clock.stages, rows, limits)}


def measure(recipe: Recipe, run: Path | None, steps: int, progress: Progress, clock: Clock) -> None:
    """A few steps of every stage up to the evaluation, in a temporary directory, without people or trackers."""
    with tempfile.TemporaryDirectory(prefix="trueward-profile-") as folder, process_settings(recipe):
        home = Path(folder)
        if run:
            for stage in REUSED:
                if (run / stage / artifacts.MANIFEST).is_file():
                    artifacts.adopt(run / stage, home / "there" / stage)
        recipe = with_precision(relabel_people.pinned(recipe, home / "profile"))
        env = replace(run_env(recipe, progress, tracked=False), trial=Trial(steps, ANSWERS))
        source = check_inputs(recipe, env, "evaluation")
        with RunCache(home, "profile", recipe, env).open() as cache, watching(clock):
            for made in graph(recipe, source, WatchedCache(cache, clock)):
                if made.name == "evaluation":
                    break


def scaled(counted: Counts, timed: Counts) -> dict[str, float]:
    """The operations of a timed stage, from the operations for each token that were counted in its first steps."""
    return {
        kind: counted.flops[kind] * timed.computed[kind] / counted.computed[kind] if counted.computed[kind] else 0.0
        for kind in WORK
    }


def floor(counts: Counts, limits: dict[str, Any], kind: str) -> float:
    """The least possible seconds for this work: its operations without padding, or the weights that decoding reads."""
    padded = counts.computed[kind]
    needed = counts.flops[kind] * (counts.tokens[kind] / padded if padded else 1.0)
    rate, bandwidth = float(limits["gflops"]) * 1e9, float(limits["gb_per_s"]) * 1e9
    return max(needed / rate, counts.read[kind] / bandwidth)


def _row(counts: Counts, limits: dict[str, Any]) -> dict[str, Any]:
    beats = {beat: round(seconds, 4) for beat, seconds in counts.beats.items()}
    floors = {kind: floor(counts, limits, kind) for kind in WORK}
    needed, computed = sum(counts.tokens.values()), sum(counts.computed.values())
    return {
        "stage": counts.stage,
        "seconds": round(counts.seconds, 4),
        "steps": counts.steps,
        "of_steps": counts.total,
        "beats": beats,
        "passes": {"forward": counts.forwards, "trained": counts.trained, "decode": counts.decodes},
        "attention": counts.attention,
        "tokens": {"needed": needed, "computed": computed, "written": counts.written},
        "tokens_per_second": {
            kind: round(counts.tokens[kind] / beats[kind], 1) for kind in WORK if counts.tokens[kind] and beats[kind]
        },
        "gflop": {kind: round(flops / 1e9, 4) for kind, flops in counts.flops.items() if flops},
        "share_of_limit": {kind: round(floors[kind] / beats[kind], 4) for kind in WORK if floors[kind] and beats[kind]},
        "padding": round(1 - needed / computed, 4) if computed else None,
    }


def advice(recipe: Recipe, all_counts: list[Counts], rows: list[dict[str, Any]], limits: dict[str, Any]) -> list[str]:
    """What to change, each with the number that shows it."""
    texts = []
    threads, tokens = recipe.runtime.threads, recipe.runtime.micro_batch_tokens
    budget = int(token_budget(recipe.runtime, torch.device(limits.get("device", "cpu"))))
    if threads and threads < limits["cores"]:
        texts.append(f"runtime.threads = {threads} of {limits['cores']} cores: 0 takes all of them")
    for counts, row in zip(all_counts, rows, strict=True):
        name, seconds, beats = counts.stage, max(counts.seconds, 1e-9), counts.beats
        for kind in ("judge", "learn"):
            padding = 1 - counts.tokens[kind] / counts.computed[kind] if counts.computed[kind] else 0.0
            if padding > 0.2 and beats[kind] > 0.2 * seconds:
                texts.append(
                    f"{name}: {padding:.0%} of what {kind} computes is padding; a smaller runtime.micro_batch_tokens "
                    f"(now {tokens}) puts fewer lengths together"
                )
        per_pass = counts.computed["learn"] / counts.trained if counts.trained else 0.0
        if counts.trained > 2 * counts.steps and per_pass > 0.5 * budget and per_pass < 512:
            texts.append(
                f"{name}: {per_pass:.0f} tokens a pass fill no matrix product; raise runtime.micro_batch_tokens "
                f"(now {tokens}) if memory allows"
            )
        if limits.get("device") == "cuda" and counts.attention.get("maths"):
            texts.append(
                f"{name}: {counts.attention['maths']} of {sum(counts.attention.values())} attentions take torch's maths "
                "kernel, which holds all weights in memory"
            )
        if counts.stage == "policy":
            texts += _about_policy(recipe, counts, row, seconds)
    return texts or ["nothing stands out"]


def _about_policy(recipe: Recipe, counts: Counts, row: dict[str, Any], seconds: float) -> list[str]:
    texts, beats = [], counts.beats
    in_loop = max(seconds - beats["rest"] - beats["evaluate"], 1e-9)
    acting = beats["act"] / in_loop
    bytes_read = counts.read["act"] / counts.decodes if counts.decodes else 0.0
    kinds = recipe.policy.kind in ("ppo", "grpo", "rloo")
    if acting > 0.3 and kinds and recipe.sampler.engine.quantize == "none" and bytes_read > 4 * LARGE:
        texts.append(
            f'policy: act takes {acting:.0%} of a step; sampler.engine.quantize = "bfloat16" (where the processor has AMX, '
            'else "int8") with policy.importance_sampling_cap = 2 is for models of this size'
        )
    if acting > 0.3 and recipe.sampler.engine.max_num_seqs < min(recipe.policy.batch_size, 128):
        texts.append(
            f"policy: act takes {acting:.0%} of a step and writes {recipe.sampler.engine.max_num_seqs} answers at once; "
            "raise sampler.engine.max_num_seqs"
        )
    if beats["hand over"] > 0.15 * in_loop:
        texts.append(
            f"policy: hand over takes {beats['hand over'] / in_loop:.0%} of a step; raise runtime.checkpoint_seconds"
        )
    return texts
