"""What a model's frozen lowest layers make of sequences: computed once, and kept for all passes that read them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from trueward import transfers
from trueward.batches import Lower, Tokens, micro_batches
from trueward.models import precision
from trueward.models.fast import packed
from trueward.parallel.fabric import ALONE, Fabric
from trueward.token_budget import Budget

ROOM = 1_000_000_000  # bytes that are kept at most
WIDTH = 4  # bytes of a number: the states that run through the layers are float32, whatever the products are


class StateCache:
    """States after the lowest `layers` layers, of sequences that are known beforehand; a shared prompt's are there once.

    Only for models on the packed path (`packed.covers`), and for all that have the same lowest layers.
    """

    def __init__(self, model: Any, layers: int, tokens: Tokens) -> None:
        """Says where each token will stand; computes nothing."""
        self.model, self.layers, self._tokens = model, layers, tokens.host
        self._prompts: dict[bytes, int] = {}
        self._responses: dict[tuple[bytes, bytes], int] = {}
        self._states = torch.empty(0)
        self._is_first = torch.zeros(self._tokens.ids.shape, dtype=torch.bool)
        """[B, T], True where a token stands in the store for all that are the same after the same ones."""
        self.rows = 0
        for row, (prompt, response, start, stop) in enumerate(_parts(self._tokens)):
            if prompt not in self._prompts:
                self._prompts[prompt] = self.rows
                self.rows += start
                self._is_first[row, :start] = True
            if (prompt, response) not in self._responses:
                self._responses[prompt, response] = self.rows
                self.rows += stop - start
                self._is_first[row, start:stop] = True

    @property
    def size(self) -> int:
        """Bytes of the states."""
        return self.rows * int(self.model.config.hidden_size) * WIDTH

    @torch.no_grad()
    def fill(self, budget: Budget, fabric: Fabric = ALONE) -> None:
        """Computes all states, always in the same micro-batches; with several processes each computes its share."""

        def read(part: Tokens) -> Tensor:
            with precision.products(self.model):
                return packed.lower_states(self.model, part, self.layers)

        tokens, device = self._tokens, self.model.device
        numbers = packed.prompt_numbers(tokens)
        places = self._places(tokens)
        assert places is not None
        groups = micro_batches(tokens.lengths, int(budget), numbers)
        for start in range(0, len(groups), fabric.world):
            rows = torch.cat(groups[start : start + fabric.world])
            part = tokens.take(rows)
            found = fabric.by_parts(read, part.to(device), budget, numbers[rows])
            if not len(self._states):
                self._states = torch.empty(self.rows, found.shape[-1], dtype=found.dtype, device=found.device)
            own = self._is_first[rows, : part.ids.shape[1]]
            at = transfers.moved(own.flatten().nonzero().squeeze(1), found.device)
            to = transfers.moved(places[rows, : part.ids.shape[1]][own], found.device)
            self._states.index_copy_(0, to, found.flatten(0, 1).index_select(0, at))

    def joined(self, tokens: Tokens) -> Tokens:
        """The tokens on the model's device with their states; without, where those of a row are not among the known."""
        places = self._places(tokens.host)
        there = tokens.to(self._states.device)
        if places is None:
            return there
        return replace(there, lower=Lower(self.layers, self._states, transfers.moved(places, self._states.device)))

    def _places(self, tokens: Tokens) -> Tensor | None:
        """[B, T]: the row of each token, 0 at padding; None if one isn't there."""
        out = np.zeros(tuple(tokens.ids.shape), np.int64)
        for row, (prompt, response, start, stop) in enumerate(_parts(tokens)):
            of_response = self._responses.get((prompt, response))
            if of_response is None:
                return None
            first = self._prompts[prompt]
            out[row, :start] = np.arange(first, first + start)
            out[row, start:stop] = np.arange(of_response, of_response + stop - start)
        return torch.from_numpy(out)


def _parts(tokens: Tokens) -> list[tuple[bytes, bytes, int, int]]:
    """Of each row: prompt and response, and where the one and the other end. tokens: in the host's memory."""
    ids, starts, stops = tokens.ids.numpy(), tokens.prompt_lengths.tolist(), tokens.lengths.tolist()
    return [
        (row[:start].tobytes(), row[start:stop].tobytes(), start, stop)
        for row, start, stop in zip(ids, starts, stops, strict=True)
    ]
