"""[lora]: adapters in place of whole networks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from trueward.config.section import Rate, Section


class Lora(Section):
    """[lora]: low-rank adapters on frozen weights (Hu et al. 2021, arXiv 2106.09685); one base in memory for every network.

    Without dropout: it would make the policy that learns another one than the policy that wrote the rollout.
    """

    rank: Annotated[int, Field(ge=0)] = 0
    """r of the adapters W + alpha/r · B·A that are trained in place of the weights W; 0: the weights themselves are."""
    alpha: Rate = 32.0
    """Their scale, as alpha/r."""
    targets: Literal["all-linear"] | tuple[Annotated[str, Field(min_length=1)], ...] = "all-linear"
    """The layers that get one: every linear layer of the trunk, or those of these names, such as ["q_proj", "v_proj"]."""
    save: Literal["merged", "adapter"] = "merged"
    """What reward models and policies are written as: whole models with the adapter added in, or adapters alone (peft)."""

    @field_validator("targets")
    @classmethod
    def _some(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not value:
            raise ValueError('expected "all-linear" or names of layers, got none')
        return value
