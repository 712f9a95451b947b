"""A model with its tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from transformers import PreTrainedTokenizerBase

from trueward.models import vocabulary

COUNTED_FROM_PAD = frozenset(
    {"roberta", "xlm-roberta", "camembert"}
)  # their first position is after the pad token's id


class SharedWeights(Protocol):
    """Frozen weights that several networks share."""

    place: str  # their directory, or a name

    @property
    def digest(self) -> str:
        """sha256 of the weights on disk; empty for a name."""


@dataclass(frozen=True)
class Network:
    """A model and the tokenizer that goes with it."""

    model: Any  # a transformers model; its classes carry no types
    tokenizer: PreTrainedTokenizerBase
    base: SharedWeights | None = None  # the frozen weights that it shares with other networks, if any
    form: str = "merged"  # what an adapter is written as: "merged" or "adapter"

    def __post_init__(self) -> None:
        """The model takes note of the tokens that its tokenizer knows: it writes no others."""
        vocabulary.settle(self.model, self.tokenizer)

    @property
    def device(self) -> torch.device:
        """The device of the model's weights."""
        return torch.device(self.model.device)

    @property
    def context(self) -> int:
        """The longest sequence the model takes, in tokens."""
        return context_length(self.model.config)


def context_length(config: Any) -> int:
    """The longest sequence that a model with this configuration takes, in tokens.

    With LongRoPE it is the original context: a longer text is turned by other angles from its first token on, so keys that a
    sampler kept would be wrong for it, and rows of a batch would change each other.
    """
    positions = int(getattr(config, "max_position_embeddings", None) or 10**9)
    given = getattr(config, "rope_parameters", None) or {}
    for turned in (given, *(one for one in given.values() if isinstance(one, dict))):
        if turned.get("rope_type") == "longrope" and turned.get("original_max_position_embeddings"):
            positions = min(positions, int(turned["original_max_position_embeddings"]))
    if config.model_type in COUNTED_FROM_PAD:
        positions -= config.pad_token_id + 1
    return positions
