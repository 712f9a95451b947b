"""A reward model from comparisons: Bradley–Terry on the scalar read at the response's last token.

All comparisons of one prompt are one element of a batch, and each distinct response goes through the network once
(InstructGPT, Ouyang et al. 2022, arXiv 2203.02155, section 3.5: otherwise K-way rankings overfit). Several of them are
fitted one after the other, each by its own `MemberPlan`. Left out: a margin term, centring.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from trueward import transfers
from trueward.batches import Step, Tokens
from trueward.config import RewardConfig
from trueward.data.collate import Collator
from trueward.losses.preference import bradley_terry
from trueward.models import heads
from trueward.models.frozen_layers import freeze_lower_layers
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.records import Comparison, Completion
from trueward.seeds import generator, seed_for
from trueward.token_budget import Budget, within_memory
from trueward.training.schedule import learning_rate, rows_at, set_rate, total_steps
from trueward.training.setup import Ranking
from trueward.training.state import State, adam, clip


class PromptGroup(NamedTuple):
    """All comparisons of one prompt: its distinct responses, and which two are compared with what outcome."""

    completions: list[Completion]
    compared: list[tuple[int, int, float]]  # first, second, probability of the first being better


def group_by_prompt(comparisons: Sequence[Comparison]) -> list[PromptGroup]:
    """One group a prompt, in the order in which prompts first appear."""
    groups: dict[str, PromptGroup] = {}
    places: dict[str, dict[Completion, int]] = {}
    for comparison in comparisons:
        key = comparison.prompt.id
        group, place = groups.setdefault(key, PromptGroup([], [])), places.setdefault(key, {})
        sides = []
        for completion in comparison.completions():
            if completion not in place:
                place[completion] = len(group.completions)
                group.completions.append(completion)
            sides.append(place[completion])
        group.compared.append((sides[0], sides[1], comparison.probability))
    return list(groups.values())


def start(config: RewardConfig, setup: Ranking) -> State:
    """The network and its AdamW; the head is a group of its own where it has a rate of its own.

    `ValueError` for more layers that learn than there are.
    """
    model = setup.network.model
    freeze_lower_layers(model, config.trainable_layers, "reward.trainable_layers")
    apart = _head(model) if config.head_learning_rate is not None else []
    return State({"reward": model}, {"reward": adam(model, config.learning_rate, config.weight_decay, apart)})


def steps(config: RewardConfig, setup: Ranking) -> int:
    """Optimiser steps: passes over the compared prompts, `batch_size` of them a step."""
    prompts = len({c.prompt.id for c in setup.comparisons})
    return total_steps(prompts, config.batch_size, config.epochs)


class MemberPlan(NamedTuple):
    """What one member of an ensemble is fitted to, and how."""

    config: RewardConfig
    comparisons: Sequence[Comparison]
    seed: int


def member_plan(config: RewardConfig, comparisons: Sequence[Comparison], seed: int, member: int) -> MemberPlan:
    """Member number `member` (from 0): the first has the seed of a reward model that is alone.

    With `resample` it gets as many prompts as there are, drawn with replacement, each with all its comparisons; one that was
    drawn twice has them twice. Fewer prompts are then different, so there are more epochs: the steps stay the same.
    """
    own = seed_for(seed, "member", member) if member else seed
    if not config.resample:
        return MemberPlan(config, comparisons, own)
    by_prompt: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_prompt.setdefault(comparison.prompt.id, []).append(comparison)
    groups = list(by_prompt.values())
    drawn = torch.randint(len(groups), (len(groups),), generator=generator(seed, "resample", member)).tolist()
    epochs = config.epochs * len(groups) / len(set(drawn)) * (1 - 1e-12)  # rounding up makes no further step
    again = config.model_copy(update={"epochs": epochs})
    return MemberPlan(again, [c for i in drawn for c in groups[i]], own)


def train(config: RewardConfig, setup: Ranking, state: State) -> Iterator[Step]:
    """Trains `setup.network` in place, from `state` on. A batch is `config.batch_size` prompts with all their comparisons."""
    network, fabric, budget, seed = setup.network, setup.fabric, setup.micro_batch_tokens, setup.seed
    groups = group_by_prompt(setup.comparisons)
    collator = Collator(network.tokenizer, network.context)
    encoded = [collator.pairs(g.completions) for g in groups]
    model, optimizer = network.model, state.optimizers["reward"]
    total = steps(config, setup)
    while state.step < total:
        # Act. Take the next prompts with their responses.
        picked = rows_at(state.step, len(groups), min(config.batch_size, len(groups)), seed, "reward").tolist()
        tokens = Tokens.collate([pair for g in picked for pair in encoded[g]], collator.pad)
        tokens = tokens if setup.states is None else setup.states.joined(tokens)
        first, second, probability = _compared([groups[g] for g in picked])
        first_at, second_at = transfers.moved_together([first, second], network.device)

        # Judge and credit. Score each response once; the mean over this step's comparisons.
        odds = transfers.moved(probability, network.device)

        loss, margin = _accumulate(network, tokens, budget, fabric, (first_at, second_at, odds))

        # Learn.
        fabric.sum_gradients(model.parameters())
        norm = clip(model, config.max_grad_norm)
        rate = learning_rate(config.learning_rate, state.step, total, config.warmup)
        set_rate(optimizer, rate)
        if config.head_learning_rate is not None:
            optimizer.param_groups[-1]["lr"] = rate * config.head_learning_rate / config.learning_rate
        optimizer.step()
        optimizer.zero_grad()

        # Hand over.
        state.step += 1
        margin, mean, norm = transfers.read([margin, loss, norm])
        signed = margin * torch.sign(probability - 0.5)
        figures = {
            "loss": mean.item(),
            "accuracy": accuracy(margin, probability),
            "margin": signed.mean().item(),
            "grad_norm": norm.item(),
            "learning_rate": rate,
        }
        yield Step(state.step, figures)


def _accumulate(
    network: Network,
    tokens: Tokens,
    budget: Budget,
    fabric: Fabric,
    compared: tuple[Tensor, Tensor, Tensor],
) -> tuple[Tensor, Tensor]:
    """Adds this process's part of the gradient of the mean loss over the comparisons; that loss, and the margins.

    The loss ties responses of different micro-batches together. What fits the budget is kept until the loss is there; with
    more, the loss's gradient with respect to the scores comes first, and then goes back through the network part by part,
    each read again. compared: the places of first and second responses, and the probabilities.
    """
    model, groups = network.model, heads.prompt_groups(network.model, tokens)
    lengths = tokens.host.lengths

    def scored() -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        parts = fabric.micro_batches(lengths, budget, groups)
        fits = len(parts) == 1 or int(lengths.sum()) <= int(budget)
        whole = fits and fabric.is_alone
        with torch.enable_grad() if whole else torch.no_grad():
            parts_scores = [heads.sequence_scores(model, tokens.take(p).to(network.device)) for p in parts]
            scores = torch.zeros(len(tokens), dtype=_dtype(model), device=network.device)
            if parts:
                at = transfers.moved(torch.cat(parts), network.device)
                scores = scores.scatter(0, at, torch.cat(parts_scores))
        return scores, _credit(scores, *compared) if whole else None

    scores, done = within_memory(budget, scored, model.zero_grad)
    if done is not None:
        return done
    leaf = fabric.sum(scores).requires_grad_()
    done = _credit(leaf, *compared)
    slopes = leaf.grad
    assert slopes is not None

    def backward() -> None:
        for rows in fabric.micro_batches(lengths, budget, groups):
            again = heads.sequence_scores(model, tokens.take(rows).to(network.device))
            again.backward(slopes[transfers.moved(rows, again.device)])

    within_memory(budget, backward, model.zero_grad)
    return done


def _credit(leaf: Tensor, first_at: Tensor, second_at: Tensor, odds: Tensor) -> tuple[Tensor, Tensor]:
    """The mean loss over the comparisons, after its backward pass, and their margins."""
    loss = bradley_terry(leaf[first_at], leaf[second_at], odds).mean()
    loss.backward()
    return loss.detach(), (leaf[first_at] - leaf[second_at]).detach()


def _head(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """The parameters of the scalar head; a bag of words is nothing else."""
    return list(model.get_submodule("score").parameters()) or list(model.parameters())


def _dtype(model: torch.nn.Module) -> torch.dtype:
    dtype = next(model.parameters()).dtype
    return torch.float32 if dtype is torch.bfloat16 else dtype  # scores are float32 whatever the products are


def _compared(groups: Sequence[PromptGroup]) -> tuple[Tensor, Tensor, Tensor]:
    """Indices into the groups' responses, one after the other, and the probabilities."""
    first, second, probability, offset = [], [], [], 0
    for group in groups:
        for a, b, p in group.compared:
            first.append(offset + a)
            second.append(offset + b)
            probability.append(p)
        offset += len(group.completions)
    return torch.tensor(first), torch.tensor(second), torch.tensor(probability)


def accuracy(margin: Tensor, probability: Tensor) -> float:
    """Share of the decided comparisons (not ties) whose better response has the higher reward; equal rewards count half."""
    decided = probability != 0.5
    if not decided.any():
        return float("nan")
    right = torch.sign(margin[decided]) * torch.sign(probability[decided] - 0.5)
    return float(((right + 1) / 2).mean())


class RawScorer(Protocol):
    """A reward model, or another scorer of raw scores."""

    def raw(self, completions: Sequence[Completion]) -> np.ndarray:
        """A score for each completion, in the model's own unit: [n]."""


def accuracy_on(model: RawScorer, comparisons: Sequence[Comparison]) -> float | None:
    """`accuracy` of a fitted model, to five places; None if no comparison is decided."""
    if not any(c.probability != 0.5 for c in comparisons):
        return None
    raw = torch.as_tensor(model.raw([side for c in comparisons for side in c.completions()])).view(-1, 2)
    chosen = torch.tensor([c.probability for c in comparisons], dtype=torch.float64)
    return round(accuracy(raw[:, 0] - raw[:, 1], chosen), 5)
