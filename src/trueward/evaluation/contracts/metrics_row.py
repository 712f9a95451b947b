"""A training step's figures."""

from __future__ import annotations

from pydantic import ConfigDict

from trueward.evaluation.contracts.contract import Contract


class MetricsRow(Contract):
    """A row of metrics.jsonl: the step, and whatever figures its stage and settings have (`metrics.figures`)."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, float | None]

    step: int
    """From 1."""

    @property
    def figures(self) -> dict[str, float | None]:
        """All figures but the step, by name; None where one was not finite."""
        return dict(self.__pydantic_extra__)
