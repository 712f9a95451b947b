"""Comparisons to fit to and to evaluate on, the evaluation, and how much more comparisons would help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from trueward import seeds
from trueward.algorithms import reward_model as algorithm
from trueward.algorithms.reward_model import MemberPlan
from trueward.config import LoraConfig, RewardConfig
from trueward.evaluation import reward_report
from trueward.evaluation.clustered import share
from trueward.losses.preference import bradley_terry
from trueward.models.network import Network
from trueward.pipeline.head_start import RewardStart
from trueward.pipeline.started_model import are_enough, fit_one
from trueward.records import Comparison
from trueward.scorers.ensemble import Proxy
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale
from trueward.seeds import seed_for
from trueward.training.env import Env
from trueward.training.journal import Journal
from trueward.training.setup import Ranking

CURVE = "learning_curve.jsonl"


def split_comparisons(comparisons: Sequence[Comparison], share: float) -> tuple[list[Comparison], list[Comparison]]:
    """Comparisons to fit to and to evaluate on, by prompt. share: held out."""
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
    """Accuracy on the decided comparisons with its interval (clustered by prompt), and NLL on all, in nats."""
    sides = [side for c in comparisons for side in c.completions()]
    raw = model.raw(sides).reshape(-1, 2)
    return evaluate_margins(raw[:, 0] - raw[:, 1], comparisons)


def evaluate_margins(margins: np.ndarray, comparisons: Sequence[Comparison]) -> dict[str, Any]:
    """The same of the differences of two rewards, [n]."""
    margin = torch.as_tensor(margins)
    probability = np.array([c.probability for c in comparisons], dtype=np.float64)
    decided = probability != 0.5
    points = reward_report.right(margins, probability)[decided]
    accuracy, low, high = share(points, reward_report.by_prompt(comparisons)[decided])
    return {
        "accuracy": round(accuracy, 4) if len(points) else None,
        "accuracy_low": round(low, 4),
        "accuracy_high": round(high, 4),
        "nll": round(float(bradley_terry(margin, torch.zeros_like(margin), torch.as_tensor(probability)).mean()), 4),
    }


def learning_curve(
    policy: Network,
    train: Sequence[Comparison],
    held_out: Sequence[Comparison],
    config: RewardConfig,
    lora: LoraConfig | None,
    seed: int,
    journal: Journal,
    env: Env,
    start: RewardStart | None = None,
) -> list[dict[str, Any]]:
    """Reward models fitted to the comparisons of an eighth, a quarter and half of the prompts, evaluated like the whole one.

    Each smaller part is contained in the larger ones. Finished ones are stored, so that a killed stage resumes with the next.
    start: what the whole one started from. Parts of too few prompts for a start in closed form are left out, and told.
    """
    head, states = (start.head, start.states) if start else (None, None)
    kept = journal.child("learning_curve")
    done = env.fabric.led(lambda: len(kept.rows(CURVE)), lambda rows: rows)
    order = sorted({c.prompt.id for c in train}, key=lambda id: seeds.fraction("curve:" + id))
    prompts = [set(order[: max(1, len(order) // part)]) for part in (8, 4, 2)]
    every = [[c for c in train if c.prompt.id in chosen] for chosen in prompts]
    if few := [len(some) for some in every if not are_enough(config, some)]:
        counts = ", ".join(f"{n:,}" for n in few)
        env.progress.tell(f"reward.learning_curve: without {counts} comparisons, too few for a start in closed form")
    for some in [some for some in every if are_enough(config, some)][done:]:
        what = f"reward model, {len(some):,} comparisons"

        def loop(fitted: RewardConfig, setup: Ranking, what: str = what) -> None:
            env.progress.start(what, algorithm.steps(fitted, setup))
            for step in algorithm.train(fitted, setup, algorithm.start(fitted, setup)):
                env.progress.at(step.number)

        if config.epochs == 0:
            env.progress.start(what, 1)
        plan = MemberPlan(config, some, seed)
        own = seed_for(seed, "lora", "reward", 0)
        network = fit_one(policy, plan, lora, own, head, loop, env, what, states).network
        if not env.fabric.leads:
            continue
        row = evaluate_reward_model(RewardModel(network, Scale(0.0, 1.0), env.micro_batch_tokens), held_out)
        env.progress.end(f"accuracy {row['accuracy']}")
        kept.append(CURVE, [{"comparisons": len(some), **row}])
    return kept.rows(CURVE)
