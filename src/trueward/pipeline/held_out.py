"""Held-out prompts, divided between the evaluations in training and those that measure what these have picked.

The highest of many evaluations is picked on its prompts: answers of that policy to other prompts are worse, however fresh the
answers are. So a peak is measured again, and every policy measured at the end, on prompts that no evaluation in training used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from trueward.evaluation.paired import FEWEST
from trueward.records import Prompt
from trueward.seeds import generator


@dataclass(frozen=True)
class HeldOut:
    """The prompts of a run, in the seed's order."""

    steps: list[Prompt]
    """Of evaluations in training."""
    reserved: list[Prompt]
    """Of none of them."""
    missing: int
    """How many more are needed for a peak to be measured again; 0 if there are enough."""

    def final(self, most: int) -> list[Prompt]:
        """Prompts of the final evaluation: the last reserved ones, at most `most`; of all where some are missing."""
        return [*(self.steps if self.missing else ()), *self.reserved][::-1][:most]

    def used_before(self, most: int) -> int:
        """How many of the final evaluation's prompts evaluations in training used."""
        return max(0, len(self.final(most)) - len(self.reserved))


def in_order(prompts: Sequence[Prompt], seed: int) -> list[Prompt]:
    """All held-out prompts, in an order that depends on the seed."""
    order = torch.randperm(len(prompts), generator=generator(seed, "held-out prompts"))
    return [prompts[i] for i in order.tolist()]


def divide(prompts: Sequence[Prompt], step_prompts: int) -> HeldOut:
    """The first `step_prompts` for evaluations in training, at most half of them all, and the others reserved.

    step_prompts: 0 if there are no evaluations in training. Where not both would get `FEWEST` prompts none are reserved.
    """
    there = len(prompts)
    missing = max(0, FEWEST + min(step_prompts, FEWEST) - there) if step_prompts else 0
    steps = step_prompts if missing else min(step_prompts, there - min(step_prompts, there // 2))
    return HeldOut(list(prompts[:steps]), list(prompts[steps:]), missing)
