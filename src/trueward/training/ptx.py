"""Demonstrations beside a reward: the SFT loss that PPO-ptx adds to a policy's.

Source: InstructGPT (Ouyang et al. 2022, arXiv 2203.02155), eq. 2, with demonstrations in the place of pretraining text.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from trueward.batches import Tokens
from trueward.losses.supervised import cross_entropy
from trueward.models import heads
from trueward.models.network import Network
from trueward.parallel.fabric import ALONE, Fabric
from trueward.token_budget import Budget
from trueward.training.schedule import rows_at


def ptx_batches(
    demonstrations: Tokens | None, sizes: Sequence[int], batch_size: int, step: int, seed: int
) -> list[Tokens | None]:
    """As many demonstrations as each minibatch has answers, in the pass number `step`, from 0, over a rollout of `batch_size`.

    Every demonstration comes once before any comes again, answers that are left out of a rollout counted.
    """
    if demonstrations is None:
        return [None] * len(sizes)
    order = rows_at(step, len(demonstrations), batch_size, seed, "ptx")[: sum(sizes)]
    return [demonstrations.take(rows) for rows in order.split(list(sizes))]


def accumulate_ptx(
    policy: Network, batch: Tokens, weight: float, micro_batch_tokens: Budget, fabric: Fabric = ALONE
) -> list[Tensor]:
    """Adds the gradient of weight·(−1/N) Σ log π(token), N response tokens, temperature 1; the parts of the mean, nats a token.

    batch: in the host's memory. With several processes each takes some rows, and gets their part of both.
    """
    count, parts = batch.response_mask.sum(), []
    for rows in fabric.micro_batches(batch.lengths, micro_batch_tokens, heads.prompt_groups(policy.model, batch)):
        part = batch.take(rows).to(policy.device)
        loss = cross_entropy(heads.response_logprobs(policy.model, part), part.response_mask, count)
        (weight * loss).backward()
        parts.append(loss.detach())
    return parts
