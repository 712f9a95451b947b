"""The general path: any causal model of transformers, through its own forward pass and our cache."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from trueward import transfers
from trueward.models import precision


class FixedLayer(CacheLayerMixin):
    """One layer's keys and values, allocated once, as transformers' cache layer: `length` of `width` columns are filled."""

    is_sliding = False
    is_compileable = False

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width, self.length = width, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make room for `width` columns, of the type and device of the first keys and values."""

        def room(x: Tensor) -> Tensor:
            shape = x.shape[0], x.shape[1], self.width, x.shape[3]
            return torch.empty(shape, dtype=precision.now(x), device=x.device)

        self.keys, self.values = room(key_states), room(value_states)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values [B, heads, t, size]; all so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        to = self.length + key_states.shape[2]
        self.keys[:, :, self.length : to], self.values[:, :, self.length : to] = key_states, value_states
        self.length = to
        return self.keys[:, :, :to], self.values[:, :, :to]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Number of keys that an attention mask covers, and its offset, 0."""
        return self.length + query_length, 0

    def get_seq_length(self) -> int:
        """Columns that are filled."""
        return self.length

    def get_max_length(self) -> int:
        """Columns that there is room for."""
        return self.width

    def take(self, rows: Tensor) -> None:
        """Keep these rows, in this order."""
        self.keys, self.values = self.keys[rows], self.values[rows]


class GeneralDecoder:
    """A group of rows at a time: they share their columns, so new rows wait until all have ended."""

    refills = False

    def __init__(self, model: Any) -> None:
        self.model = precision.rounded_copy(model)

    def start(self, rows: int, width: int) -> None:
        """As `Decoder`: room is made with each group, when its longest prompt is known."""
        self.width = width

    def prefill(self, at: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """As `Decoder`: begins a new group in a fresh cache, its prompts padded on the left."""
        width = ids.shape[1]
        layers = self.model.config.get_text_config().num_hidden_layers
        # A group's longest prompt and the answers' room together may pass the longest row: columns, not positions.
        self.cache = Cache(layers=[FixedLayer(width + self.width) for _ in range(layers)])
        columns = torch.arange(width)
        shift = width - lengths[:, None]
        positions = (columns - shift).clamp(min=0)
        together = [ids.gather(1, positions), positions, (columns >= shift).long()]
        left, positions, seen = transfers.moved_together(together, self.model.device)
        self.seen = seen.bool()
        return self._forward(left, positions)

    def step(self, ids: Tensor, positions: Tensor, width: int) -> Tensor:
        """As `Decoder`."""
        self.seen = torch.cat([self.seen, torch.ones_like(self.seen[:, :1])], dim=1)
        return self._forward(ids[:, None], positions[:, None])

    def keep(self, rows: Tensor) -> None:
        """As `Decoder`."""
        if len(rows) == len(self.seen):
            return
        rows = transfers.moved(rows, self.seen.device)
        self.seen = self.seen[rows]
        for layer in self.cache.layers:
            layer.take(rows)

    def _forward(self, ids: Tensor, positions: Tensor) -> Tensor:
        with precision.products(self.model):
            out = self.model(
                input_ids=ids,
                attention_mask=self.seen.long(),
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: Tensor = out.logits[:, -1]
        return logits.float() if logits.dtype is precision.LOW else logits
