"""The doctor: which rung of a run is broken, from what the run left on disk.

Rules are asked from the bottom of the ladder to its top, since a broken rung explains what is seen above it. A rule that
lacks the figures it needs says so; it doesn't guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Left:
    """What a run left behind. What it has not reached is empty."""

    recipe: Row
    """The resolved recipe."""
    sft: Row = field(default_factory=dict)
    """The manifests' summaries."""
    comparisons: Row = field(default_factory=dict)
    reward_model: Row = field(default_factory=dict)
    policies: Mapping[str, Row] = field(default_factory=dict)
    """The evaluation's rows: base, sft, policy, best."""
    history: Sequence[Row] = ()
    """policy/evaluations.jsonl."""
    reward_steps: Sequence[Row] = ()
    """reward_model/metrics.jsonl."""
    policy_steps: Sequence[Row] = ()
    """policy/metrics.jsonl."""

    def setting(self, key: str) -> Any:
        """A setting of the recipe by its dotted name; None if it is not set."""
        value: Any = self.recipe
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value


@dataclass(frozen=True)
class Finding:
    """A broken rung: what is seen, the figures, the rule in words, and which settings to change to what."""

    rung: str
    what: str
    evidence: dict[str, Any]
    because: str
    advice: dict[str, Any]


class UnseenError(Exception):
    """A rule can't be asked: the run lacks what it looks at, in words."""


Rule = Callable[[Left], Finding | None]


@dataclass(frozen=True)
class Diagnosis:
    """Findings, the lowest broken rung first; the rungs that were looked at; those that couldn't be, and why."""

    findings: list[Finding]
    looked_at: list[str]
    unseen: dict[str, str]

    def table(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def diagnose(left: Left, rules: Mapping[str, Rule]) -> Diagnosis:
    """Ask every rule, in the order given."""
    findings, looked_at, unseen = [], [], {}
    for rung, rule in rules.items():
        try:
            found = rule(left)
        except UnseenError as missing:
            unseen[rung] = str(missing)
            continue
        looked_at.append(rung)
        if found is not None:
            findings.append(found)
    return Diagnosis(findings, looked_at, unseen)


def known(row: Row, *keys: str) -> list[float]:
    """The figures under these keys. `UnseenError` if one is missing."""
    missing = [key for key in keys if row.get(key) is None]
    if missing:
        raise UnseenError(f"no {', '.join(missing)}")
    return [float(row[key]) for key in keys]


def ends(left: Left) -> tuple[Row, Row]:
    """SFT's row and the last policy's: of the evaluation, or else of the first look and the last one."""
    if left.policies.get("sft") and left.policies.get("policy"):
        return left.policies["sft"], left.policies["policy"]
    if len(left.history) < 2:
        raise UnseenError("no trained policy was measured")
    return left.history[0], left.history[-1]


def change(key: str, before: Row, after: Row) -> tuple[float, float] | None:
    """How much a mean rose between two rows, and the standard error of that; None if it wasn't measured."""
    if before.get(key) is None or after.get(key) is None:
        return None
    errors = [float(row.get(f"{key}_se") or 0.0) for row in (before, after)]
    return float(after[key] - before[key]), float((errors[0] ** 2 + errors[1] ** 2) ** 0.5)


def rounded(**figures: Any) -> dict[str, Any]:
    """Evidence: floats to four digits that count; what is not known is left out."""
    return {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in figures.items() if v is not None}
