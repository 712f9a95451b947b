"""PPO's value network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trueward.batches import Tokens
from trueward.models import heads
from trueward.models.network import Network
from trueward.scorers.scorer import Scale


@dataclass(frozen=True)
class Critic:
    """The value network, in the units of the reward: V = (head − mean) / SD, with the reward model's mean and SD.

    With a `trunk`, the policy's model, `network` is only a scalar head on the trunk's states.
    """

    network: Network
    scale: Scale
    trunk: Any = None

    @property
    def body(self) -> Any:
        """The model whose states are read."""
        return self.network.model if self.trunk is None else self.trunk

    def values(self, tokens: Tokens) -> Tensor:
        """[B, T], in SDs of the proxy; 0 outside the response. The policy's trunk gets no gradient from here."""
        if self.trunk is None:
            return self.scaled(heads.response_values(self.network.model, tokens), tokens)
        with torch.no_grad():
            states = heads.states_at(self.trunk, tokens, tokens.before)
        raw = self.network.model.score(states).squeeze(-1)
        return self.scaled(heads.from_flat(raw, tokens), tokens)

    def scaled(self, raw: Tensor, tokens: Tokens) -> Tensor:
        """The head's outputs [B, T] in SDs of the proxy, 0 outside the response."""
        return torch.where(tokens.response_mask, (raw - self.scale.mean) / self.scale.sd, 0.0)
