"""Comparisons as a policy reads them: the loss on a batch of pairs and its gradient, wherever the pairs come from."""

from __future__ import annotations

from functools import partial

import torch

from trueward.batches import Pairs
from trueward.config import PolicyConfig
from trueward.losses import preference
from trueward.models import heads
from trueward.models.network import Network
from trueward.parallel.fabric import ALONE, Fabric
from trueward.token_budget import Budget, within_memory
from trueward.training.figures import Figures

FIGURES = ("loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies")


def accumulate(
    config: PolicyConfig,
    policy: Network,
    batch: Pairs,
    micro_batch_tokens: Budget,
    temperature: float = 1.0,
    fabric: Fabric = ALONE,
) -> Figures:
    """Adds the gradient of the mean loss over the batch to `policy`; the means of the loss and its figures, by `FIGURES`.

    With several processes each takes some of the pairs, and gradient and figures are summed.

    The gradient is 0 before: where memory runs out it is thrown away and computed again (`within_memory`).

    `temperature`: that of the policy's log-probs; those of the reference in `batch` are at the same one. Both responses
    of a comparison are in one micro-batch.
    """
    work = partial(_accumulate, config, policy, batch, micro_batch_tokens, temperature, fabric)
    sums = within_memory(micro_batch_tokens, work, policy.model.zero_grad)
    fabric.sum_gradients(policy.model.parameters())
    return sums


def _accumulate(
    config: PolicyConfig,
    policy: Network,
    batch: Pairs,
    micro_batch_tokens: Budget,
    temperature: float,
    fabric: Fabric,
) -> Figures:
    """This process's part of the gradient and the figures."""
    dpo, total = config.dpo, len(batch.probability)
    sums = Figures()
    lengths = batch.tokens.host.lengths.view(-1, 2)
    padded = heads.prompt_groups(policy.model, batch.tokens) is None
    sizes = 2 * lengths.max(1).values if padded else lengths.sum(1)
    for rows in fabric.micro_batches(sizes, micro_batch_tokens, None if padded else torch.arange(len(sizes))):
        part = batch.take(rows)
        loss, figures = preference.direct(
            heads.response_logprobs(policy.model, part.tokens, temperature).sum(1),
            part.reference,
            part.tokens.response_lengths,
            part.probability,
            loss=dpo.loss,
            beta=config.kl_coef,
            label_smoothing=dpo.label_smoothing,
            simpo_beta=dpo.simpo_beta,
            simpo_margin=dpo.simpo_margin,
        )
        (loss.sum() / total).backward()
        for name, value in {"loss": loss.detach(), **figures}.items():
            sums.add(name, value.sum(), total)
    return sums
