"""Supervised fine-tuning: next-token cross-entropy on the response's tokens, end-of-sequence included.

Left out: packing (rows are grouped by length instead), dropout (off everywhere), loss on the prompt.
Source: InstructGPT (Ouyang et al. 2022, arXiv 2203.02155), section 3.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from trueward.batches import Step, Tokens, micro_batches
from trueward.config import SftConfig
from trueward.data.collate import Collator
from trueward.losses.supervised import cross_entropy
from trueward.models import heads
from trueward.models.network import Network
from trueward.records import Completion
from trueward.training.schedule import learning_rate, rows_at, set_rate, total_steps
from trueward.training.setup import Supervised
from trueward.training.state import State, adam, clip


def start(config: SftConfig, setup: Supervised) -> State:
    """The policy and its AdamW."""
    model = setup.policy.model
    return State({"policy": model}, {"policy": adam(model, config.learning_rate, config.weight_decay)})


def steps(config: SftConfig, setup: Supervised) -> int:
    """Optimiser steps: `epochs` passes over the demonstrations, `batch_size` of them a step."""
    return total_steps(len(setup.demonstrations), config.batch_size, config.epochs)


def train(config: SftConfig, setup: Supervised, state: State) -> Iterator[Step]:
    """Trains `setup.policy` in place, from `state` on."""
    policy, fabric, budget, seed = setup.policy, setup.fabric, setup.micro_batch_tokens, setup.seed
    tokens = Collator(policy.tokenizer, policy.context).tokens(setup.demonstrations)
    model, optimizer = policy.model, state.optimizers["policy"]
    total = steps(config, setup)
    while state.step < total:
        # Act. Take the next demonstrations.
        batch = tokens.take(rows_at(state.step, len(tokens), min(config.batch_size, len(tokens)), seed, "sft"))
        count = batch.response_mask.sum()

        # Judge and credit. Every token of the response counts the same.
        nll = 0.0
        for rows in fabric.micro_batches(batch.lengths, budget, heads.prompt_groups(model, batch)):
            part = batch.take(rows).to(policy.device)
            loss = cross_entropy(heads.response_logprobs(model, part), part.response_mask, count)
            loss.backward()
            nll += loss.item()

        # Learn.
        fabric.sum_gradients(model.parameters())
        norm = clip(model, config.max_grad_norm)
        rate = learning_rate(config.learning_rate, state.step, total, config.warmup)
        set_rate(optimizer, rate)
        optimizer.step()
        optimizer.zero_grad()

        # Hand over.
        state.step += 1
        figures = fabric.figures({"nll": nll})
        yield Step(state.step, {**figures, "grad_norm": norm, "learning_rate": rate, "tokens": float(count)})


@torch.no_grad()
def held_out_nll(policy: Network, demonstrations: Sequence[Completion], micro_batch_tokens: int) -> float:
    """Mean negative log-likelihood of the responses' tokens, in nats a token."""
    tokens: Tokens = Collator(policy.tokenizer, policy.context).tokens(demonstrations)
    total = 0.0
    for rows in micro_batches(tokens.lengths, micro_batch_tokens, heads.prompt_groups(policy.model, tokens)):
        total -= heads.response_logprobs(policy.model, tokens.take(rows).to(policy.device)).sum().item()
    return round(total / int(tokens.response_lengths.sum()), 4)
