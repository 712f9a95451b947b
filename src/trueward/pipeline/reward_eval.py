"""Comparisons to fit to, comparisons to examine on, what the examination says, and the reward model's report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from trueward import __version__, seeds
from trueward.algorithms import reward_model as fit
from trueward.artifacts import Artifact, read_json, write_json, write_text
from trueward.evaluation import reward_report
from trueward.evaluation.reward_report import NoisyAnnotators
from trueward.evaluation.statistics import wilson
from trueward.losses.preference import bradley_terry
from trueward.pipeline.env import Env
from trueward.records import Comparison, Completion
from trueward.reporting import report as page
from trueward.scorers import simulated
from trueward.scorers.ensemble import Proxy
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale


def split_comparisons(comparisons: Sequence[Comparison], share: float) -> tuple[list[Comparison], list[Comparison]]:
    """Comparisons to fit to and to examine on, by prompt."""
    train: list[Comparison] = []
    held_out: list[Comparison] = []
    for c in comparisons:
        (held_out if seeds.fraction("examined:" + c.prompt.id) < share else train).append(c)
    if not train or not held_out:
        raise ValueError(
            f"reward.held_out: {len(comparisons)} comparisons leave {len(train)} to fit to and {len(held_out)} to "
            "examine on; give more comparisons or another share"
        )
    return train, held_out


def evaluate_reward_model(model: Proxy, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """Accuracy on the decided ones with its interval, and NLL on all, in nats."""
    sides = [side for c in comparisons for side in c.completions()]
    raw = torch.as_tensor(model.raw(sides)).view(-1, 2)
    probability = torch.tensor([c.probability for c in comparisons], dtype=torch.float64)
    decided = int((probability != 0.5).sum())
    accuracy = fit.accuracy(raw[:, 0] - raw[:, 1], probability)
    low, high = wilson(accuracy * decided, decided) if decided else (0.0, 1.0)
    return {
        "accuracy": round(accuracy, 4) if decided else None,
        "accuracy_low": round(low, 4),
        "accuracy_high": round(high, 4),
        "nll": round(float(bradley_terry(raw[:, 0], raw[:, 1], probability).mean()), 4),
    }


def reward_model_report(
    env: Env,
    prepared: Artifact,
    sft: Artifact,
    comparisons: Artifact,
    raw: Proxy,
    train: Sequence[Comparison],
    held_out: Sequence[Comparison],
    reference: Sequence[Completion],
    work: Path,
) -> dict[str, Any]:
    """The reward model's report, and its learning curve if the recipe asks for one."""
    recipe, made = env.recipe, comparisons.summary
    annotators = None
    if made["source"] == "simulated" and recipe.comparisons.source == "simulated":
        liked = recipe.comparisons
        utility = simulated.annotator(prepared.path / "annotators", liked.annotator, liked.length_bias)
        annotators = NoisyAnnotators(utility, made["temperature"], recipe.comparisons.tie_width)
    found = reward_report.report(
        raw.raw, train, held_out, agreement=made["agreement"], annotators=annotators, reference=reference
    )
    curve = learning_curve(env, sft, train, held_out, work) if recipe.reward.learning_curve else []
    return {**found, "learning_curve": curve}


def learning_curve(
    env: Env, sft: Artifact, train: Sequence[Comparison], held_out: Sequence[Comparison], work: Path
) -> list[dict[str, Any]]:
    """Reward models fitted as the whole one to the comparisons of an eighth, a quarter and half of the prompts.

    Each smaller part lies in the larger ones. What is done is kept, so that a killed stage goes on with the next.
    """
    config, runtime, seed = env.recipe.reward, env.recipe.runtime, env.recipe.seed
    kept = work / "checkpoints" / "learning_curve.json"
    rows: list[dict[str, Any]] = read_json(kept) if kept.is_file() else []
    order = sorted({c.prompt.id for c in train}, key=lambda id: seeds.fraction("curve:" + id))
    for part in (8, 4, 2)[len(rows) :]:
        chosen = set(order[: max(1, len(order) // part)])
        some = [c for c in train if c.prompt.id in chosen]
        network = env.scalar_head(sft.model, "reward", 0)
        state = fit.start(config, network)
        env.progress.start(f"reward model, {len(some):,} comparisons", fit.steps(config, len(chosen)))
        for step in fit.train(
            config,
            network=network,
            comparisons=some,
            state=state,
            seed=seed,
            micro_batch_tokens=runtime.micro_batch_tokens,
        ):
            env.progress.at(step.number)
        found = evaluate_reward_model(RewardModel(network, Scale(0.0, 1.0), runtime.micro_batch_tokens), held_out)
        env.progress.end(f"accuracy {found['accuracy']}")
        rows.append({"comparisons": len(some), **found})
        write_json(kept, rows)
    return rows


def write_page(env: Env, comparisons: Artifact, table: dict[str, Any], work: Path) -> None:
    """report.json and report.html of the reward model alone; of the recipe only what the stage was made from."""
    recipe = env.recipe
    report = {
        "format": 2,
        "trueward": __version__,
        "name": "reward model",
        "recipe": {key: recipe.table()[key] for key in ("seed", "comparisons", "reward")},
        "seed": recipe.seed,
        "reward_model": {**table, "agreement": comparisons.summary["agreement"]},
    }
    write_json(work / "report.json", report)
    write_text(work / "report.html", page.page(report))
