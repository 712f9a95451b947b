"""[sft], and what it shares with [reward]."""

from __future__ import annotations

from trueward.config.section import NonNegative, Positive, Rate, Section, Share


class Supervised(Section):
    """What [sft] and [reward] share."""

    model: str = ""
    """A ready model to take instead of training one."""
    epochs: Rate = 1.0
    batch_size: Positive = 32
    learning_rate: Rate = 1e-3
    warmup: Share = 0.05
    """Share of the steps in which the rate climbs; after them it falls to zero, linearly."""
    weight_decay: NonNegative = 0.01
    max_grad_norm: Rate = 1.0


class Sft(Supervised):
    """[sft]: next-token cross-entropy on the demonstrations' responses."""

    epochs: Rate = 2.0
