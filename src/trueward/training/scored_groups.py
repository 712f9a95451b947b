"""Groups of answers to one prompt, with their scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trueward.batches import Rollout, stacked
from trueward.scorers.scorer import ScoredBatch


@dataclass(frozen=True)
class ScoredGroups:
    """A rollout, groups next to each other, and the rewards of its answers."""

    rollout: Rollout
    old: Tensor  # [B, T] log-probs under the policy at the step's start, or the sampler's where they are the same
    ref_logprobs: Tensor  # [B, T]
    score: Tensor  # [B], in the host's memory, as the rewards are
    rewards: Tensor  # [B]
    scored: ScoredBatch

    def alive(self, size: int) -> Tensor:
        """Which groups of `size` answers have different rewards, and so a policy gradient: [groups]."""
        grouped = self.rewards.view(-1, size)
        return grouped.max(1).values - grouped.min(1).values > 1e-9

    @classmethod
    def join(cls, rounds: Sequence[ScoredGroups]) -> ScoredGroups:
        """The groups of several sampling rounds, one round after the other."""
        return cls(
            Rollout.join([r.rollout for r in rounds]),
            stacked([r.old for r in rounds]),
            stacked([r.ref_logprobs for r in rounds]),
            torch.cat([r.score for r in rounds]),
            torch.cat([r.rewards for r in rounds]),
            ScoredBatch.join([r.scored for r in rounds]),
        )
