"""Decoding from a table: the state is the last few tokens."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from trueward import transfers


class TabularDecoder:
    """The decoder of a `models.tabular.TabularPolicy`."""

    refills = True

    def __init__(self, model: Any) -> None:
        self.model, self.order = model, model.config.order

    def start(self, rows: int, width: int) -> None:
        """As `Decoder`."""
        self.history = torch.zeros(rows, self.order, dtype=torch.long, device=self.model.device)

    def prefill(self, at: Tensor, ids: Tensor, lengths: Tensor) -> Tensor:
        """As `Decoder`."""
        # The last `order` tokens of each prompt; before its beginning stands padding, 0.
        back = lengths[:, None] - torch.arange(self.order, 0, -1)
        last = torch.where(back >= 0, ids.gather(1, back.clamp(min=0)), 0)
        at, last = transfers.moved_together([at, last], self.model.device)
        self.history[at] = last
        return self._logits(at)

    def step(self, ids: Tensor, positions: Tensor, width: int) -> Tensor:
        """As `Decoder`."""
        rows = torch.arange(len(ids), device=ids.device)
        self.history[rows] = torch.cat([self.history[rows, 1:], ids[:, None]], dim=1)
        return self._logits(rows)

    def keep(self, rows: Tensor) -> None:
        """As `Decoder`."""
        self.history[: len(rows)] = self.history[transfers.moved(rows, self.history.device)]

    def _logits(self, rows: Tensor) -> Tensor:
        state = self.model.state(self.history[rows])[:, -1]
        out: Tensor = self.model.table[state]
        return out
