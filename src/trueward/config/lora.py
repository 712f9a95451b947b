"""[lora]: low-rank adapters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer

from trueward.config.section import Rate, Section, without_newer


class LoraConfig(Section):
    """[lora]: low-rank adapters on frozen weights (Hu et al. 2021, arXiv 2106.09685); one base in memory for every network.

    There is no dropout: with it, the policy that learns would differ from the one that wrote the rollout.
    """

    rank: Annotated[int, Field(ge=0)] = 0
    """Rank r of the adapters, W + alpha/r · B·A; 0: no adapters, all weights are trained."""
    alpha: Rate = 32.0
    """Scale of the adapters: B·A is multiplied by alpha/r."""
    targets: Literal["all-linear"] | tuple[Annotated[str, Field(min_length=1)], ...] = "all-linear"
    """Layers with an adapter: every linear layer of the trunk, or those with these names, such as ["q_proj", "v_proj"]."""
    save: Literal["merged", "adapter"] = "merged"
    """How reward models and policies are saved: merged into whole models, or as adapters alone (peft's format)."""
    base: Literal["plain", "nf4"] = "plain"
    """How the frozen weights are kept: as model.dtype says, or the linear layers in four bits (QLoRA; needs bitsandbytes)."""

    @field_validator("targets")
    @classmethod
    def _some(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError('expected "all-linear" or names of layers, got none')
        return value

    @model_serializer(mode="wrap")
    def _without_newer(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Fields that came later are left out at their defaults, so that what was made before them keeps its fingerprint."""
        return without_newer(self, dump(self), NEWER)


NEWER = ("base",)
"""Fields of [lora] that fingerprints of older runs know nothing of."""
