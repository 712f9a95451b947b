"""Comparisons to fit to, comparisons to examine on, and what the examination says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trueward.algorithms import reward_model as fit
from trueward.data import reviews
from trueward.instruments.statistics import wilson
from trueward.losses.preference import bradley_terry
from trueward.records import Comparison
from trueward.scorers.reward_model import RewardModel


def split(comparisons: Sequence[Comparison], share: float) -> tuple[list[Comparison], list[Comparison]]:
    """Comparisons to fit to and to examine on, by prompt."""
    train: list[Comparison] = []
    held_out: list[Comparison] = []
    for c in comparisons:
        (held_out if reviews.fraction("examined:" + c.prompt.id) < share else train).append(c)
    if not train or not held_out:
        raise ValueError(
            f"reward.held_out: {len(comparisons)} comparisons leave {len(train)} to fit to and {len(held_out)} to "
            "examine on; give more comparisons or another share"
        )
    return train, held_out


def examine(model: RewardModel, comparisons: Sequence[Comparison]) -> dict[str, Any]:
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
