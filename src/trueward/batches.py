"""The tensor nouns: what goes into a model, and what a policy wrote. Frozen; shapes stand beside the fields.

Shapes: B sequences, T positions (prompt, then response, then padding on the right).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trueward import transfers
from trueward.records import Completion
from trueward.token_budget import Budget, TokenBudget, within_memory

EVEN = 768  # tokens a thread: what's read of them at once still lies in its cache; fewer make small matrix products
LARGE_ENOUGH = 384  # tokens: from here on a matrix product is about as fast a row as it gets


EMPTY = 2  # tokens in a row of a batch without rows: a sharded model reads one such row in their place


@dataclass(frozen=True)
class Lower:
    """The output of a model's lowest layers, which don't learn: computed once, read at every update."""

    layers: int
    states: Tensor  # [B, T, D], the input of layer number `layers`, counted from 0; or the rows of a store [N, D]
    at: Tensor | None = None  # [B, T], the row of each token in a store

    def take(self, rows: Tensor, width: int) -> Lower:
        """Of some of the rows, cut to a width; a store stays whole. rows: on the states' device."""
        if self.at is None:
            return Lower(self.layers, self.states[rows, :width])
        return Lower(self.layers, self.states, self.at[rows, :width])

    def read(self, places: Tensor) -> Tensor:
        """The states of these tokens, row·T + column each: [n] -> [n, D]."""
        if self.at is None:
            return self.states.flatten(0, 1).index_select(0, places)
        return self.states.index_select(0, self.at.flatten().index_select(0, places))


@dataclass(frozen=True)
class Tokens:
    """Prompts with their responses as token ids.

    >>> batch = Tokens.collate([([1, 7], [8, 9]), ([1], [8])], pad=0)
    >>> batch.ids.tolist()
    [[1, 7, 8, 9], [1, 8, 0, 0]]
    >>> batch.response_mask.tolist()
    [[False, False, True, True], [False, True, False, False]]
    """

    ids: Tensor  # [B, T] int64
    prompt_lengths: Tensor  # [B] int64
    response_lengths: Tensor  # [B] int64, end-of-sequence included
    lower: Lower | None = None  # only where all models that read these tokens have the same lowest layers
    home: Tokens | None = field(
        default=None, repr=False
    )  # the same tokens in the host's memory, if these are elsewhere

    @classmethod
    def collate(cls, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], pad: int) -> Tokens:
        """Prompts and responses, padded on the right. Without any the width is that of `take` of none."""
        width = max((len(p) + len(r) for p, r in pairs), default=EMPTY)
        rows = [[*p, *r, *[pad] * (width - len(p) - len(r))] for p, r in pairs]
        ids = torch.tensor(rows, dtype=torch.long).view(len(pairs), width)
        lengths = torch.tensor([[len(p), len(r)] for p, r in pairs], dtype=torch.long).view(-1, 2)
        return cls(ids, lengths[:, 0].contiguous(), lengths[:, 1].contiguous())

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def host(self) -> Tokens:
        """The same tokens in the host's memory, without `lower`: layouts and micro-batches are made from these, and no wait."""
        if self.ids.device.type == "cpu":
            return self
        if self.home is None:  # they were made on the accelerator
            ids, prompts, responses = transfers.read([self.ids, self.prompt_lengths, self.response_lengths])
            object.__setattr__(self, "home", Tokens(ids, prompts, responses))
        assert self.home is not None
        return self.home

    @cached_property
    def chosen_at(self) -> Tensor:
        """[N]: where the tokens in the response mask stand, row·T + column, row by row."""
        if self.ids.device.type == "cpu":
            return self.response_mask.flatten().nonzero().squeeze(1)
        return transfers.moved(self.host.chosen_at, self.ids.device)

    @property
    def chosen(self) -> Tensor:
        """[N]: the tokens in the response mask, row by row."""
        return self.ids.flatten().index_select(0, self.chosen_at)

    @property
    def before(self) -> Tensor:
        """[B, T] in the host's memory: True where the token after this one is in the response mask.

        These are the states in which the response's tokens were chosen.
        """
        mask = self.host.response_mask
        return torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)

    @property
    def lengths(self) -> Tensor:
        """[B]: prompt and response together."""
        return self.prompt_lengths + self.response_lengths

    @property
    def response_mask(self) -> Tensor:
        """[B, T], True where the policy chose the token, end-of-sequence included."""
        at = torch.arange(self.ids.shape[1], device=self.ids.device)
        return (at >= self.prompt_lengths[:, None]) & (at < self.lengths[:, None])

    def take(self, rows: Tensor) -> Tokens:
        """Some of the rows, cut to the longest of them. rows: their numbers, in the host's memory.

        Of none the width is `EMPTY`.
        """
        home, device = self.host, self.ids.device
        width = int(home.lengths[rows].max()) if len(rows) else EMPTY
        part = Tokens(home.ids[rows, :width], home.prompt_lengths[rows], home.response_lengths[rows]).to(device)
        if self.lower is None:
            return part
        return replace(part, lower=self.lower.take(transfers.moved(rows, device), width))

    def to(self, device: torch.device) -> Tokens:
        """The same tokens on another device, without `lower`: one copy. Themselves where they are there already."""
        if self.ids.device == device:
            return self
        home = self.host
        if device.type == "cpu":
            return home
        together = [home.ids, home.prompt_lengths, home.response_lengths]
        ids, prompts, responses = transfers.moved_together(together, device)
        return Tokens(ids, prompts, responses, home=home)

    @classmethod
    def join(cls, parts: Sequence[Tokens]) -> Tokens:
        """Several batches as one. Narrow ones are padded with token 0, whatever that is: no token attends to padding."""
        lowers = [p.lower for p in parts if p.lower is not None]
        lower = None
        if len(lowers) == len(parts) and all(part.at is None for part in lowers):
            lower = Lower(lowers[0].layers, stacked([part.states for part in lowers]))
        return cls(
            stacked([p.ids for p in parts]),
            torch.cat([p.prompt_lengths for p in parts]),
            torch.cat([p.response_lengths for p in parts]),
            lower,
            cls.join([p.host for p in parts]) if parts[0].ids.device.type != "cpu" else None,
        )


@dataclass(frozen=True)
class Rollout:
    """Completions sampled from one policy, with the log-probs they were sampled with."""

    tokens: Tokens
    logprobs: Tensor  # [B, T] float32, at the sampling temperature; 0 outside the response mask
    completions: list[Completion]
    version: int = 0  # of the weights that sampled it: the steps after which they were published

    def to(self, device: torch.device) -> Rollout:
        """The same rollout with its tensors on another device."""
        logprobs = transfers.moved(self.logprobs, device)
        return Rollout(self.tokens.to(device), logprobs, self.completions, self.version)

    @classmethod
    def join(cls, parts: Sequence[Rollout]) -> Rollout:
        """Several rollouts as one, whose version is the oldest of theirs."""
        return cls(
            Tokens.join([p.tokens for p in parts]),
            stacked([p.logprobs for p in parts]),
            [c for p in parts for c in p.completions],
            min(p.version for p in parts),
        )


@dataclass(frozen=True)
class Pairs:
    """Comparisons as tokens: rows 2i and 2i+1 are the first and the second response of comparison i."""

    tokens: Tokens
    reference: Tensor  # [2n], log-prob of each whole response under the reference, in nats
    probability: Tensor  # [n], that the first response is the better one

    def take(self, rows: Tensor) -> Pairs:
        """Some of the comparisons, by number, each with both of its rows. rows: in the host's memory."""
        both = torch.stack([2 * rows, 2 * rows + 1], 1).flatten()
        there, pairs_there = transfers.moved_together([both, rows], self.reference.device)
        return Pairs(self.tokens.take(both), self.reference[there], self.probability[pairs_there])


@dataclass(frozen=True)
class Step:
    """What a training loop yields after each step: its number (from 1), its figures, the completions it learned from."""

    number: int
    metrics: dict[str, float]
    completions: list[Completion] = field(default_factory=list)
    details: list[dict[str, Any]] = field(default_factory=list)  # per completion: score, kl, length


def stacked(parts: Sequence[Tensor]) -> Tensor:
    """Tensors [B, T] or [B, T, …] of different T one below the other, filled up on the right with 0."""
    width = max(p.shape[1] for p in parts)
    room = [(0, 0) * (p.ndim - 2) + (0, width - p.shape[1]) for p in parts]
    return torch.cat([torch.nn.functional.pad(p, r) for p, r in zip(parts, room, strict=True)])


def micro_batches(lengths: Tensor, budget: Budget, together: Tensor | None = None) -> list[Tensor]:
    """Row numbers in groups of at most `budget` tokens, padding counted; rows of like length together.

    A group that is large enough for the matrix products to run well also ends where its rows become much shorter than
    its first, since every row is padded to that. With `together` [B], a number for each row, nothing is padded: rows of
    the same number stand side by side, and the groups are about even. How rows are grouped changes no result but
    rounding: losses are divided by counts of the whole step.
    """
    groups = (
        _padded_batches(lengths, int(budget)) if together is None else _even_batches(lengths, int(budget), together)
    )
    if isinstance(budget, TokenBudget):
        sizes = [lengths[rows] for rows in groups]
        budget.saw([int(s.max() * len(s) if together is None else s.sum()) for s in sizes], [len(s) for s in sizes])
    return groups


def _padded_batches(lengths: Tensor, budget: int) -> list[Tensor]:
    """The longest rows first, each padded to the first of its group."""
    order = torch.argsort(lengths, descending=True, stable=True)
    sizes = lengths[order].tolist()
    groups: list[Tensor] = []
    start = 0
    for end in range(1, len(sizes) + 1):
        width, count = max(sizes[start], 1), end - start
        if end < len(sizes):
            full = width * (count + 1) > budget
            ragged = width * count >= LARGE_ENOUGH and sizes[end] < 0.8 * width
            if not (full or ragged):
                continue
        groups.append(order[start:end])
        start = end
    return groups


def _even_batches(lengths: Tensor, budget: int, together: Tensor) -> list[Tensor]:
    """The longest rows first, each with those of its number: about `EVEN` tokens a thread and group, at most `budget`."""
    if not len(lengths):
        return []
    longest = torch.zeros(int(together.max()) + 1, dtype=lengths.dtype).scatter_reduce(0, together, lengths, "amax")
    order = torch.from_numpy(np.lexsort((-lengths.numpy(), together.numpy(), -longest[together].numpy())))
    sizes, numbers = lengths[order].tolist(), together[order].tolist()
    total = sum(sizes)
    even = EVEN * torch.get_num_threads()
    limit = min(budget, math.ceil(total / max(1, round(total / even))))
    groups: list[Tensor] = []
    start, count = 0, 0
    for end, size in enumerate(sizes):
        over = count + size > limit and (numbers[end] != numbers[end - 1] or count + size > budget)
        if end > start and over:
            groups.append(order[start:end])
            start, count = end, 0
        count += size
    groups.append(order[start:])
    return groups


def by_parts(
    read: Callable[[Tokens], Tensor], tokens: Tokens, budget: Budget, together: Tensor | None = None
) -> Tensor:
    """What `read` gives for all rows, [B, T] or [B, T, …], a micro-batch of at most `budget` tokens at a time."""

    def attempt() -> Tensor:
        out: Tensor | None = None
        for rows in micro_batches(tokens.host.lengths, budget, together):
            part = tokens.take(rows)
            found = read(part)
            if out is None:
                out = torch.zeros(*tokens.ids.shape, *found.shape[2:], dtype=found.dtype, device=found.device)
            out[transfers.moved(rows, out.device), : part.ids.shape[1]] = found
        assert out is not None
        return out

    return within_memory(budget, attempt)
