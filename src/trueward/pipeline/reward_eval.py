"""Comparisons to fit to and to evaluate on, the evaluation, and how much more comparisons would help."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trueward import seeds
from trueward.algorithms import reward_model as algorithm
from trueward.config import LoraConfig, RewardConfig
from trueward.evaluation import reward_report
from trueward.evaluation.clustered import share
from trueward.losses.preference import bradley_terry
from trueward.models.derived import scalar_head
from trueward.models.network import Network
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
    raw = torch.as_tensor(model.raw(sides)).view(-1, 2)
    probability = torch.tensor([c.probability for c in comparisons], dtype=torch.float64)
    decided = probability != 0.5
    points = reward_report.right((raw[:, 0] - raw[:, 1]).double().numpy(), probability.numpy())[decided.numpy()]
    accuracy, low, high = share(points, reward_report.by_prompt(comparisons)[decided.numpy()])
    return {
        "accuracy": round(accuracy, 4) if len(points) else None,
        "accuracy_low": round(low, 4),
        "accuracy_high": round(high, 4),
        "nll": round(float(bradley_terry(raw[:, 0], raw[:, 1], probability).mean()), 4),
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
) -> list[dict[str, Any]]:
    """Reward models fitted to the comparisons of an eighth, a quarter and half of the prompts, evaluated like the whole one.

    Each smaller part is contained in the larger ones. Finished ones are stored, so that a killed stage resumes with the next.
    """
    kept = journal.child("learning_curve")
    done = env.fabric.led(lambda: len(kept.rows(CURVE)), lambda rows: rows)
    order = sorted({c.prompt.id for c in train}, key=lambda id: seeds.fraction("curve:" + id))
    for part in (8, 4, 2)[done:]:
        chosen = set(order[: max(1, len(order) // part)])
        some = [c for c in train if c.prompt.id in chosen]
        network = scalar_head(policy, lora, seed_for(seed, "lora", "reward", 0))
        setup = Ranking(
            seed=seed,
            micro_batch_tokens=env.micro_batch_tokens,
            fabric=env.fabric,
            network=network,
            comparisons=some,
        )
        env.progress.start(f"reward model, {len(some):,} comparisons", algorithm.steps(config, setup))
        for step in algorithm.train(config, setup, algorithm.start(config, setup)):
            env.progress.at(step.number)
        if not env.fabric.leads:
            continue
        row = evaluate_reward_model(RewardModel(network, Scale(0.0, 1.0), env.micro_batch_tokens), held_out)
        env.progress.end(f"accuracy {row['accuracy']}")
        kept.append(CURVE, [{"comparisons": len(some), **row}])
    return kept.rows(CURVE)
