"""What changes from step to step and is a function of the step alone: learning rates, which rows are taken."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import Plan
from trueward.seeds import generator


def learning_rate(peak: float, step: int, total: int, warmup: float, decay: bool = True) -> float:
    """Up linearly over the first share `warmup` of the steps, then down linearly to 0 (or level). `step` counts from 0."""
    rising = max(1, round(total * warmup))
    if step < rising:
        return peak * (step + 1) / rising
    return peak * (total - step) / max(1, total - rising) if decay else peak


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def total_steps(rows: int, batch_size: int, epochs: float) -> int:
    """How many steps go through the rows so many times; at least one."""
    return max(1, math.ceil(rows * epochs / min(batch_size, rows)))


def rows_at(step: int, rows: int, batch_size: int, seed: int, what: str) -> Tensor:
    """The rows of step `step` (from 0): every epoch in its own random order, running on across its end."""
    picked = []
    for index in range(step * batch_size, (step + 1) * batch_size):
        epoch, place = divmod(index, rows)
        picked.append((epoch, place))
    orders = {e: torch.randperm(rows, generator=generator(seed, what, "epoch", e)) for e in {e for e, _ in picked}}
    return torch.stack([orders[e][p] for e, p in picked])


def rollout_plan(prompts: Sequence[Prompt], count: int, seed: int, each: int = 1) -> Plan:
    """What a loop samples at a step: `count` of the prompts, in an order of the run's seed, `each` completions of every one."""

    def wanted(step: int) -> tuple[list[Prompt], Draws]:
        picked = rows_at(step, len(prompts), count, seed, "prompts").tolist()
        return [prompts[i] for i in picked for _ in range(each)], Draws.purpose(seed, "rollout", step)

    return wanted
