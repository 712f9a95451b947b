"""The base class of the recipe's sections, and the types of their numbers."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache
from typing import Annotated, Any, ClassVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]

LARGEST = 2**31 - 1  # of any whole number: what is counted here is trained on, sampled or waited for


class Section(BaseModel):
    """The base of all sections: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)
    newer: ClassVar[tuple[str, ...]] = ()
    """Fields that its dump leaves out at their defaults, so that what was made before them keeps its fingerprint."""

    @field_validator("*", mode="before")
    @classmethod
    def _numbers_are_numbers(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _kinds(cls, str(info.field_name))
        if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
            raise ValueError(f"expected a number, got {str(value).lower()}")
        if isinstance(value, int) and int in kinds and abs(value) > LARGEST:
            raise ValueError(f"expected a whole number up to {LARGEST:,}, got one of {len(str(abs(value)))} digits")
        return value


@cache
def _kinds(section: type[Section], field: str) -> frozenset[Any]:
    """The types that a field's value may have."""
    left, kinds = [section.model_fields[field].annotation], set()
    while left:
        kind = left.pop()
        inner = [part for part in get_args(kind) if isinstance(part, type) or get_args(part)]
        left += inner if type(kind).__name__ != "GenericAlias" else []
        kinds.add(kind)
    return frozenset(kinds)


def without_newer(section: Section, dump: dict[str, Any], newer: Collection[str]) -> dict[str, Any]:
    """A section's dump without those of its newer fields that have their defaults: what a fingerprint is made from."""
    fields = type(section).model_fields
    return {k: v for k, v in dump.items() if k not in newer or getattr(section, k) != fields[k].default}
