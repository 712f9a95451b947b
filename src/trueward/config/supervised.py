"""[sft], and the settings it shares with [reward]."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from trueward.config.section import NonNegative, Positive, Rate, Section, Share, without_newer

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
    trainable_layers: Annotated[int, Field(ge=0)] = 0
    """If above 0, only the top N layers and the last norm (a reward model's head too) learn; adapters stand in these alone."""


class SftConfig(SupervisedConfig):
    """[sft]: next-token cross-entropy on the demonstrations' responses."""

    epochs: Rate = 2.0
    """Passes over the demonstrations."""
    turns: Turns = "all"
    """Of a conversation: learn all of the assistant's turns, or the last alone."""

    newer: ClassVar[tuple[str, ...]] = ("trainable_layers",)

    @model_serializer(mode="wrap")
    def _without_newer(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are left out at their defaults, so that what was made before them keeps its fingerprint."""
        return without_newer(self, dump(self), self.newer)
