"""The doctor's diagnosis, as report.json has it."""

from __future__ import annotations

from trueward.evaluation.contracts.contract import Contract

Scalar = bool | int | float | str | None


class FindingRow(Contract):
    """A fault of the run."""

    fault: str
    """Its name."""
    what: str
    """What is wrong, in a sentence."""
    evidence: dict[str, Scalar]
    """The figures and settings that show it, by name."""
    because: str
    """The rule that found it, in words."""
    advice: dict[str, Scalar]
    """Settings to change, and to what; or what to do, in words."""


class DoctorRow(Contract):
    """All that the doctor checked."""

    findings: list[FindingRow]
    """The faults, the earliest stage's first."""
    checked: list[str]
    """Names of the faults that were checked."""
    not_checked: dict[str, str]
    """Faults that could not be checked, and why."""
