"""What all contracts share: a closed set of fields, no conversions, no NaN."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

Figure = float | None
"""A measured number; null where it could not be computed."""


class Contract(BaseModel):
    """A JSON object. A field without a default is always there; one that may be missing says when, and is None then."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
