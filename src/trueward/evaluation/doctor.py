"""The doctor: which faults a run has, from the files in its directory.

Rules run in the order of the pipeline's stages, since a fault in one stage explains what is seen in later ones. A rule that
lacks the figures it needs is reported as not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class DoctorInputs:
    """The figures of a run that the rules read. A stage that the run has not reached is empty."""

    recipe: Row
    """The resolved recipe."""
    sft: Row = field(default_factory=dict)
    """The summary in sft/manifest.json."""
    comparisons: Row = field(default_factory=dict)
    """The summary in comparisons/manifest.json."""
    reward_model: Row = field(default_factory=dict)
    """The summary in reward_model/manifest.json."""
    policies: Mapping[str, Row] = field(default_factory=dict)
    """The final evaluation's rows: base, sft, policy, best."""
    control: Row = field(default_factory=dict)
    """The summary in control/manifest.json: `kl` and `kl_se` of a run with a random reward."""
    history: Sequence[Row] = ()
    """Rows of policy/evaluations.jsonl."""
    reward_steps: Sequence[Row] = ()
    """Rows of reward_model/metrics.jsonl."""
    policy_steps: Sequence[Row] = ()
    """Rows of policy/metrics.jsonl."""

    def setting(self, key: str) -> Any:
        """A setting of the recipe by its dotted name; None if it is not set."""
        value: Any = self.recipe
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


@dataclass(frozen=True)
class Finding:
    """A fault: what is wrong, the figures that show it, the rule in words, and which settings to change to what."""

    fault: str
    what: str
    evidence: dict[str, Any]
    because: str
    advice: dict[str, Any]


class NotMeasuredError(Exception):
    """A rule can't be applied: the run lacks a figure that it needs. The message says which."""


Rule = Callable[[DoctorInputs], Finding | None]


@dataclass(frozen=True)
class Diagnosis:
    """The findings, in the order of the stages; the faults that were checked; those that couldn't be, and why."""

    findings: list[Finding]
    checked: list[str]
    not_checked: dict[str, str]

    def table(self) -> dict[str, Any]:
        """The diagnosis as JSON."""
        return asdict(self)


def diagnose(inputs: DoctorInputs, rules: Mapping[str, Rule]) -> Diagnosis:
    """Apply every rule, in the order given. rules: by the name of the fault."""
    findings, checked, not_checked = [], [], {}
    for fault, rule in rules.items():
        try:
            finding = rule(inputs)
        except NotMeasuredError as missing:
            not_checked[fault] = str(missing)
            continue
        checked.append(fault)
        if finding is not None:
            findings.append(finding)
    return Diagnosis(findings, checked, not_checked)
