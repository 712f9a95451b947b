"""Direct preference optimisation: the policy from comparisons alone, without a reward model and without sampling.

The closed form of the anchored optimum turns a reward into β·log π/π_ref; put into Bradley–Terry, the partition function
cancels and one supervised loss on comparisons is left (Rafailov et al. 2023, arXiv 2305.18290). The reference's
log-probs are computed once. β is `policy.kl_coef`. Variants: losses/preference.py.

Left out: length-weighted variants, an SFT term. With `policy.dpo.online` the pairs are the policy's own:
algorithms/online_dpo.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from trueward import transfers
from trueward.batches import Pairs, Step
from trueward.config import PolicyConfig
from trueward.data.collate import Collator
from trueward.models import heads
from trueward.models.frozen_layers import freeze_lower_layers
from trueward.models.network import Network
from trueward.records import Comparison
from trueward.token_budget import Budget
from trueward.training.preference_step import accumulate
from trueward.training.schedule import learning_rate, rows_at, set_rate
from trueward.training.setup import Offline
from trueward.training.state import State, adam, clip


def reference_pairs(
    reference: Network, comparisons: Sequence[Comparison], micro_batch_tokens: Budget, temperature: float = 1.0
) -> Pairs:
    """Tokens and the reference's log-probs, computed once. DPO's loop takes them at temperature 1."""
    collator = Collator(reference.tokenizer, reference.context)
    tokens = collator.tokens([side for c in comparisons for side in c.completions()]).to(reference.device)
    with torch.no_grad():
        logprobs = heads.read_logprobs(reference.model, tokens, temperature, micro_batch_tokens)
    probability = torch.tensor([c.probability for c in comparisons], dtype=logprobs.dtype)
    return Pairs(tokens, logprobs.sum(1), transfers.moved(probability, logprobs.device))


def steps(config: PolicyConfig, setup: Offline) -> int:
    """Optimiser steps: `policy.steps`."""
    return config.steps


def start(config: PolicyConfig, setup: Offline) -> State:
    """The policy and its AdamW."""
    model = setup.policy.model
    freeze_lower_layers(model, config.trainable_layers)
    return State({"policy": model}, {"policy": adam(model, config.dpo.learning_rate)})


def train(config: PolicyConfig, setup: Offline, state: State) -> Iterator[Step]:
    """Trains `setup.policy` in place, from `state` on. A step takes `config.batch_size` comparisons."""
    policy, data, fabric, seed = setup.policy, setup.pairs, setup.fabric, setup.seed
    count = len(data.probability)
    while state.step < config.steps:
        # Act. Take the next comparisons.
        batch = data.take(rows_at(state.step, count, min(config.batch_size, count), seed, "dpo"))

        # Judge, credit. The implicit rewards' margin against what people chose.
        figures = accumulate(config, policy, batch, setup.micro_batch_tokens, fabric=fabric)

        # Learn.
        figures.alike("policy/grad_norm", clip(policy.model, config.max_grad_norm))
        rate = config.dpo.learning_rate * learning_rate(1.0, state.step, config.steps, config.warmup, config.decay)
        set_rate(state.optimizers["policy"], rate)
        state.optimizers["policy"].step()
        state.optimizers["policy"].zero_grad()

        # Hand over.
        state.step += 1
        yield Step(state.step, {**figures.read(fabric), "lr": rate})


@torch.no_grad()
def pair_accuracy(policy: Network, data: Pairs, micro_batch_tokens: Budget, temperature: float = 1.0) -> float:
    """Share of decided comparisons whose better response has the higher implicit reward; equal ones count half."""
    logprobs = heads.read_logprobs(policy.model, data.tokens, temperature, micro_batch_tokens)
    sums, probability = transfers.read([logprobs.sum(1) - data.reference, data.probability])
    implicit, decided = sums.view(-1, 2), probability != 0.5
    sign = torch.sign(implicit[:, 0] - implicit[:, 1])[decided] * torch.sign(probability[decided] - 0.5)
    return float(((sign + 1) / 2).mean()) if decided.any() else float("nan")
