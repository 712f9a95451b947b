"""Supervised fine-tuning: next-token cross-entropy on the assistant's tokens, end-of-sequence included.

Of a conversation all of the assistant's turns are learned, or the last alone (`sft.turns`).
Left out: packing (rows are grouped by length instead), dropout (off everywhere), loss on the prompt.
Source: InstructGPT (Ouyang et al. 2022, arXiv 2203.02155), section 3.5.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from trueward import transfers
from trueward.batches import Step, Tokens, micro_batches
from trueward.config import SftConfig
from trueward.config.supervised import Turns
from trueward.data import assistant_turns
from trueward.data.collate import Collator
from trueward.losses.supervised import cross_entropy
from trueward.models import heads
from trueward.models.frozen_layers import freeze_lower_layers
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.records import Completion
from trueward.token_budget import Budget, within_memory
from trueward.training.figures import Figures
from trueward.training.schedule import learning_rate, rows_at, set_rate, total_steps
from trueward.training.setup import Supervised
from trueward.training.state import State, adam, clip


def start(config: SftConfig, setup: Supervised) -> State:
    """The policy and its AdamW. `ValueError` for more layers that learn than there are."""
    model = setup.policy.model
    freeze_lower_layers(model, config.trainable_layers, "sft.trainable_layers")
    return State({"policy": model}, {"policy": adam(model, config.learning_rate, config.weight_decay)})


def steps(config: SftConfig, setup: Supervised) -> int:
    """Optimiser steps: `epochs` passes over the demonstrations, `batch_size` of them a step."""
    return total_steps(len(setup.demonstrations), config.batch_size, config.epochs)


def train(config: SftConfig, setup: Supervised, state: State) -> Iterator[Step]:
    """Trains `setup.policy` in place, from `state` on."""
    policy, fabric, budget, seed = setup.policy, setup.fabric, setup.micro_batch_tokens, setup.seed
    tokens, learned, places = turns(policy, setup.demonstrations, config.turns)
    count_of = len(setup.demonstrations)
    model, optimizer = policy.model, state.optimizers["policy"]
    total = steps(config, setup)
    while state.step < total:
        # Act. Take the next demonstrations.
        chosen = rows_at(state.step, count_of, min(config.batch_size, count_of), seed, "sft")
        sequences = torch.cat([places[i] for i in chosen.tolist()])
        batch, mask = tokens.take(sequences), learned[sequences]
        count = mask.sum()

        # Judge and credit. Every token of the assistant's counts the same.
        accumulate = partial(_accumulate, policy, batch, mask, budget, fabric)
        figures = within_memory(budget, accumulate, state.zero_grad)

        # Learn.
        fabric.sum_gradients(model.parameters())
        figures.alike("grad_norm", clip(model, config.max_grad_norm))
        rate = learning_rate(config.learning_rate, state.step, total, config.warmup)
        set_rate(optimizer, rate)
        optimizer.step()
        optimizer.zero_grad()

        # Hand over.
        state.step += 1
        yield Step(state.step, {**figures.read(fabric), "learning_rate": rate, "tokens": float(count)})


def _accumulate(policy: Network, batch: Tokens, mask: Tensor, micro_batch_tokens: Budget, fabric: Fabric) -> Figures:
    """Adds the gradient of the mean over the tokens in `mask` to the policy; the figure `nll`, its parts."""
    figures, count = Figures(), mask.sum()
    for rows in fabric.micro_batches(batch.lengths, micro_batch_tokens, heads.prompt_groups(policy.model, batch)):
        part = batch.take(rows).to(policy.device)
        part_mask = transfers.moved(mask[rows, : part.ids.shape[1]], policy.device)
        loss = cross_entropy(heads.response_logprobs(policy.model, part), part_mask, count)
        loss.backward()
        figures.add("nll", loss)
    return figures


@torch.no_grad()
def held_out_nll(
    policy: Network, demonstrations: Sequence[Completion], micro_batch_tokens: Budget, which: Turns = "all"
) -> float:
    """Mean negative log-likelihood of the tokens that are learned, in nats a token."""
    tokens, learned, _ = turns(policy, demonstrations, which)

    def attempt() -> Figures:
        sums = Figures()
        for rows in micro_batches(tokens.lengths, micro_batch_tokens, heads.prompt_groups(policy.model, tokens)):
            part = tokens.take(rows).to(policy.device)
            mask = transfers.moved(learned[rows, : part.ids.shape[1]], policy.device)
            sums.add("nll", -heads.response_logprobs(policy.model, part).masked_fill(~mask, 0.0).sum())
        return sums

    return round(within_memory(micro_batch_tokens, attempt).read()["nll"] / int(learned.sum()), 4)


def turns(policy: Network, demonstrations: Sequence[Completion], which: Turns) -> tuple[Tokens, Tensor, list[Tensor]]:
    """The demonstrations as sequences; which of their tokens are learned, [B, T]; and the sequences of each demonstration.

    A demonstration is one sequence, or several where the chat template writes earlier turns in another way later on.
    """
    collator = Collator(policy.tokenizer, policy.context)
    by_row = assistant_turns.sequences(collator, demonstrations, which == "all")
    every = [sequence for row in by_row for sequence in row]
    tokens = Tokens.collate([(s.prompt, s.response) for s in every], collator.pad)
    learned = torch.zeros_like(tokens.response_mask)
    for row, sequence in enumerate(every):
        learned[row, len(sequence.prompt) : len(sequence.prompt) + len(sequence.learned)] = torch.tensor(
            sequence.learned
        )
    return tokens, learned, list(torch.arange(len(every)).split([len(row) for row in by_row]))
