"""The general path: any causal model of transformers, through its own forward pass and our cache.

All rows share their columns: a row's tokens stand side by side, and the newest of every row in the same column, so that each
token is one pass over one column. A row that is filled while others are in the middle gets the columns before that one; what
stands left of a row's first token is hidden by the attention mask. So any model whose attention sees positions, or distances,
computes what it would alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, CacheLayerMixin

from trueward import transfers
from trueward.models import precision

SPARE = 64  # columns beyond the longest row: how many tokens are drawn before the cache is moved to its beginning again


class FixedLayer(CacheLayerMixin):
    """One layer's keys and values, allocated once, as transformers' cache layer; columns from `start` to `stop` are in use."""

    is_sliding = False
    is_compileable = False

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.rows, self.width, self.start, self.stop = rows, width, 0, 0

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Make room for all rows and columns, of the type and device of the first keys and values."""

        def room(x: Tensor) -> Tensor:
            shape = self.rows, x.shape[1], self.width, x.shape[3]
            return torch.zeros(shape, dtype=precision.now(x), device=x.device)

        self.keys, self.values = room(key_states), room(value_states)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Append keys and values [n, heads, t, size] of the first n rows; all of theirs that are in use."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        rows, to = len(key_states), self.stop + key_states.shape[2]
        self.keys[:rows, :, self.stop : to], self.values[:rows, :, self.stop : to] = key_states, value_states
        self.stop = to
        return self.keys[:rows, :, self.start : to], self.values[:rows, :, self.start : to]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Number of keys that an attention mask covers, and its offset, 0."""
        return self.stop - self.start + query_length, 0

    def get_seq_length(self) -> int:
        """Columns that are in use."""
        return self.stop - self.start

    def get_max_length(self) -> int:
        """Columns that there is room for."""
        return self.width

    def copy_rows(self, to: Tensor, source: Tensor) -> None:
        """Rows in the place of others."""
        self.keys[to], self.values[to] = self.keys[source], self.values[source]

    def move(self, start: int) -> None:
        """Let what is in use begin at another column."""
        length = self.stop - self.start
        for x in (self.keys, self.values):
            x[:, :, start : start + length] = x[:, :, self.start : self.stop].clone()
        self.start, self.stop = start, start + length

    def put(self, at: Tensor, other: FixedLayer) -> None:
        """Another layer's rows into these, so that their last columns stand together."""
        first = self.stop - other.stop
        self.keys[at, :, first : self.stop] = other.keys[:, :, : other.stop]
        self.values[at, :, first : self.stop] = other.values[:, :, : other.stop]


class GeneralDecoder:
    """Decodes through the model's own forward pass."""

    refills = True

    def __init__(self, model: Any) -> None:
        self.model = precision.rounded_copy(model)

    def start(self, rows: int, width: int) -> None:
        """As `Decoder`: room is made with the first prompts, when the sizes of keys are known."""
        self.size = rows, width + SPARE
        self.firsts: list[int] = []  # the column of each row's first token
        self.layers = self._layers(*self.size)
        self.cache = Cache(layers=list(self.layers))
        self.seen = torch.zeros(rows, width + SPARE, dtype=torch.long, device=self.model.device)

    def prefill(self, at: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """As `Decoder`: prompts are padded on the left. While others are there they get a cache of their own first."""
        width = ids.shape[1]
        columns = torch.arange(width)
        shift = width - lengths[:, None]
        positions = (columns - shift).clamp(min=0)
        together = [ids.gather(1, positions), positions, (columns >= shift).long(), at]
        left, positions, seen, at = transfers.moved_together(together, self.model.device)
        if not self.firsts:
            for layer in self.layers:
                layer.start = layer.stop = 0
            self.firsts = (width - lengths).tolist()
            self.seen[: len(ids), :width] = seen
            return self._forward(self.cache, left, positions, seen)
        fresh = self._layers(len(ids), width)
        logits = self._forward(Cache(layers=list(fresh)), left, positions, seen)
        if (stop := self.layers[0].stop) < width:  # these prompts are longer than all that is there
            self._move(self.layers[0].start + width - stop)
        stop = self.layers[0].stop
        for layer, new in zip(self.layers, fresh, strict=True):
            layer.put(at, new)
        self.seen[at, : stop - width] = 0
        self.seen[at, stop - width : stop] = seen
        self.firsts += (stop - lengths).tolist()
        self._settle()
        return logits

    def step(self, ids: Tensor, positions: Tensor, width: int) -> Tensor:
        """As `Decoder`."""
        layer = self.layers[0]
        if layer.stop == layer.width:
            self._move(0)
        self.seen[: len(ids), layer.stop] = 1
        seen = self.seen[: len(ids), layer.start : layer.stop + 1]
        return self._forward(self.cache, ids[:, None], positions[:, None], seen)

    def keep(self, rows: Tensor) -> None:
        """As `Decoder`: only rows that change their place are copied."""
        if len(rows) == len(self.firsts):
            return
        moving = rows != torch.arange(len(rows))
        if moving.any():
            to, source = transfers.moved_together([moving.nonzero().squeeze(1), rows[moving]], self.seen.device)
            self.seen[to] = self.seen[source]
            for layer in self.layers:
                layer.copy_rows(to, source)
        self.firsts = [self.firsts[row] for row in rows.tolist()]
        self._settle()

    def _layers(self, rows: int, width: int) -> list[FixedLayer]:
        return [FixedLayer(rows, width) for _ in range(self.model.config.get_text_config().num_hidden_layers)]

    def _settle(self) -> None:
        """Columns before the first token of every row are out of use."""
        if self.firsts:
            for layer in self.layers:
                layer.start = min(self.firsts)

    def _move(self, start: int) -> None:
        """Let what is in use begin at another column, in every layer."""
        first = self.layers[0]
        by, stop = start - first.start, first.stop
        seen = self.seen[:, first.start : stop].clone()
        for layer in self.layers:
            layer.move(start)
        self.seen.zero_()
        self.seen[:, start : start + seen.shape[1]] = seen
        self.firsts = [column + by for column in self.firsts]

    def _forward(self, cache: Cache, ids: Tensor, positions: Tensor, seen: Tensor) -> Tensor:
        with precision.products(self.model):
            out = self.model(
                input_ids=ids,
                attention_mask=seen,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: Tensor = out.logits[:, -1]
        return logits.float() if logits.dtype is precision.LOW else logits
