"""Direct preference optimisation: the policy from comparisons alone, without a reward model and without sampling.

The closed form of the anchored optimum turns a reward into β·log π/π_ref; put into Bradley–Terry, the partition function
cancels and one supervised loss on comparisons is left (Rafailov et al. 2023, arXiv 2305.18290). The reference's
log-probs are computed once. β is `policy.kl_coef`. Variants: losses/preference.py.

Left out: length-weighted variants, an SFT term. Online DPO samples pairs from the policy as it is and lets the scorer
label them (Guo et al. 2024, arXiv 2402.04792).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trueward.batches import Step, Tokens, by_parts
from trueward.config import Policy
from trueward.data.collate import Collator
from trueward.engines.fabric import ALONE, Fabric
from trueward.losses import preference
from trueward.models import heads
from trueward.models.loading import Network
from trueward.models.schedule import learning_rate, rows_at, set_rate
from trueward.models.state import State, adam
from trueward.records import Comparison

FIGURES = ("loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies")


@dataclass(frozen=True)
class Pairs:
    """Comparisons as tokens: rows 2i and 2i+1 are the first and the second response of comparison i."""

    tokens: Tokens
    reference: Tensor  # [2n], log-prob of each whole response under the reference, in nats
    probability: Tensor  # [n], that the first response is the better one

    def take(self, rows: Tensor) -> Pairs:
        both = torch.stack([2 * rows, 2 * rows + 1], 1).flatten()
        return Pairs(self.tokens.take(both), self.reference[both], self.probability[rows])


def pairs(reference: Network, comparisons: Sequence[Comparison], micro_batch_tokens: int) -> Pairs:
    """Tokens and the reference's log-probs, computed once. Sums at temperature 1."""
    collator = Collator(reference.tokenizer, reference.context)
    tokens = collator.tokens([side for c in comparisons for side in c.completions()]).to(reference.device)
    with torch.no_grad():
        logprobs = by_parts(lambda part: heads.response_logprobs(reference.model, part), tokens, micro_batch_tokens)
    probability = torch.tensor([c.probability for c in comparisons], dtype=logprobs.dtype, device=logprobs.device)
    return Pairs(tokens, logprobs.sum(1), probability)


def start(config: Policy, policy: Network) -> State:
    return State({"policy": policy.model}, {"policy": adam(policy.model, config.dpo.learning_rate)})


def train(
    config: Policy,
    *,
    policy: Network,
    data: Pairs,
    state: State,
    seed: int,
    micro_batch_tokens: int,
    fabric: Fabric = ALONE,
) -> Iterator[Step]:
    """Trains `policy` in place, from `state` on. A step takes `config.batch_size` comparisons."""
    count = len(data.probability)
    while state.step < config.steps:
        # Act. Take the next comparisons.
        batch = data.take(rows_at(state.step, count, min(config.batch_size, count), seed, "dpo").to(policy.device))

        # Judge, credit. The implicit rewards' margin against what people chose. Both responses of a comparison are in
        # one micro-batch.
        sums = dict.fromkeys(FIGURES, 0.0)
        total = len(batch.probability)
        widths = batch.tokens.lengths.view(-1, 2).max(1).values
        for rows in fabric.micro_batches(widths.cpu(), max(1, micro_batch_tokens // 2)):
            part = batch.take(rows.to(policy.device))
            loss, figures = _loss(config, policy, part)
            (loss.sum() / total).backward()
            for name, value in {"loss": loss.detach(), **figures}.items():
                sums[name] += value.sum().item() / total

        # Learn.
        fabric.sum_gradients(policy.model.parameters())
        norm = torch.nn.utils.clip_grad_norm_(policy.model.parameters(), config.max_grad_norm)
        rate = config.dpo.learning_rate * learning_rate(1.0, state.step, config.steps, config.warmup, config.decay)
        set_rate(state.optimizers["policy"], rate)
        state.optimizers["policy"].step()
        state.optimizers["policy"].zero_grad()

        # Hand over.
        state.step += 1
        yield Step(state.step, {**fabric.figures(sums), "policy/grad_norm": float(norm), "lr": rate})


def _loss(config: Policy, policy: Network, part: Pairs) -> tuple[Tensor, dict[str, Tensor]]:
    """Unreduced losses [n] and figures [n]."""
    dpo = config.dpo
    logprobs = heads.response_logprobs(policy.model, part.tokens).sum(1)
    first, second = logprobs.view(-1, 2).unbind(1)
    anchors = part.reference.view(-1, 2).unbind(1)
    margin = preference.dpo_margin(first, second, anchors[0], anchors[1], config.kl_coef)
    if dpo.loss == "ipo":
        loss = preference.ipo(margin, part.probability, config.kl_coef)
    elif dpo.loss == "robust":
        loss = preference.robust_dpo(margin, part.probability, dpo.label_smoothing)
    elif dpo.loss == "simpo":
        lengths = part.tokens.response_lengths.view(-1, 2).clamp(min=1)
        loss = preference.simpo(
            first / lengths[:, 0], second / lengths[:, 1], part.probability, dpo.simpo_beta, dpo.simpo_margin
        )
    else:
        loss = preference.dpo(margin, part.probability, dpo.label_smoothing)
    chosen = part.probability >= 0.5
    sign = torch.sign(margin) * torch.sign(part.probability - 0.5)  # 0 for equal margins and ties: half right
    rewards = config.kl_coef * (logprobs - part.reference).view(-1, 2).detach()
    better, worse = torch.where(chosen, rewards[:, 0], rewards[:, 1]), torch.where(chosen, rewards[:, 1], rewards[:, 0])
    return loss, {
        "rewards/chosen": better,
        "rewards/rejected": worse,
        "rewards/margins": better - worse,
        "rewards/accuracies": ((sign + 1) / 2).detach(),
    }


@torch.no_grad()
def pair_accuracy(policy: Network, data: Pairs, micro_batch_tokens: int) -> float:
    """Share of decided comparisons whose better response has the higher implicit reward; equal ones count half."""
    logprobs = by_parts(lambda part: heads.response_logprobs(policy.model, part), data.tokens, micro_batch_tokens).sum(
        1
    )
    implicit = (logprobs - data.reference).view(-1, 2)
    decided = data.probability != 0.5
    sign = torch.sign(implicit[:, 0] - implicit[:, 1])[decided] * torch.sign(data.probability[decided] - 0.5)
    return float(((sign + 1) / 2).mean()) if decided.any() else float("nan")
