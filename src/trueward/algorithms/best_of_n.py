"""Best-of-n: draw n answers from the reference policy, keep the one with the highest score. Nothing is trained.

Its KL to the reference is at most log n − (n−1)/n nats (equal for continuous scores; Beirami et al. 2024, arXiv
2401.01879), whatever the scorer. Trained on, its answers become a policy: `sft_on_best`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from trueward.batches import Rollout
from trueward.models.network import Network
from trueward.records import Completion, Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import Sample
from trueward.scorers.scorer import Scorer, scores


@dataclass(frozen=True)
class Candidates:
    """n answers to each prompt, side by side, before one of them is kept."""

    completions: Sequence[Completion]  # [prompts · n]
    score: Tensor  # [prompts, n], float64, the scorer's
    rewards: Tensor  # [prompts, n], what is compared: less the penalty for being cut, −inf where there is no score


def sampler(
    n: int,
    scorer: Scorer,
    sample: Sample,
    missing_eos_penalty: float,
    on_candidates: Callable[[Candidates], None] = lambda candidates: None,
) -> Sample:
    """A sampler whose answers are the best of n; a cut answer's score is lowered as in training.

    `on_candidates` is given all n answers of every call.
    """

    def best(network: Network, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        rollout = sample(network, [p for p in prompts for _ in range(n)], draws.repeat(n))
        score = torch.as_tensor(scores(scorer, rollout.completions)).view(-1, n)
        truncated = torch.tensor([not c.finished for c in rollout.completions]).view(-1, n)
        rewards = torch.nan_to_num(score - missing_eos_penalty * truncated, nan=-torch.inf)
        on_candidates(Candidates(rollout.completions, score, rewards))
        picked = rewards.argmax(1) + torch.arange(len(prompts)) * n
        tokens = rollout.tokens.take(picked)
        return replace(
            rollout,
            tokens=tokens,
            logprobs=rollout.logprobs[picked, : tokens.ids.shape[1]],
            completions=[rollout.completions[i] for i in picked.tolist()],
        )

    return best


def kl(n: int) -> float:
    """The KL of best-of-n to its reference, at most: log n − (n−1)/n, in nats."""
    return math.log(n) - (n - 1) / n
