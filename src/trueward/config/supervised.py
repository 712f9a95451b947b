"""[sft], and the settings it shares with [reward]."""

from __future__ import annotations

from typing import Literal

from trueward.config.section import NonNegative, Positive, Rate, Section, Share

Turns = Literal["all", "last"]


class SupervisedConfig(Section):
    """Settings that [sft] and [reward] share."""

    model: str = ""
    """A trained model to use, in place of training one."""
    epochs: Rate = 1.0
    """Passes over the data."""
    batch_size: Positive = 32
    """Examples a step ([reward]: prompts a step)."""
    learning_rate: Rate = 1e-3
    """Peak learning rate."""
    warmup: Share = 0.05
    """Share of the steps over which the rate rises from zero; then it falls linearly to zero."""
    weight_decay: NonNegative = 0.01
    """AdamW's weight decay."""
    max_grad_norm: Rate = 1.0
    """Gradients are clipped to this norm."""


class SftConfig(SupervisedConfig):
    """[sft]: next-token cross-entropy on the demonstrations' responses."""

    epochs: Rate = 2.0
    """Passes over the demonstrations."""
    turns: Turns = "all"
    """Of a conversation: learn all of the assistant's turns, or the last alone."""
