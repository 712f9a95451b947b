"""The doctor's diagnosis in words: each fault, its rule, what to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueward.evaluation.doctor import Diagnosis


def lines(diagnosis: Diagnosis) -> list[str]:
    """The whole diagnosis as lines of text, the faults in the order of the stages."""
    out: list[str] = []
    for number, finding in enumerate(diagnosis.findings, 1):
        out += [
            f"{number}. {finding.fault}: {finding.what}",
            f"   seen: {figures(finding.evidence)}",
            f"   rule: {finding.because}",
            *(f"   change: {change(key, value)}" for key, value in finding.advice.items()),
        ]
    if len(diagnosis.findings) > 1:
        out.append("Fix the first one first: a fault in one stage explains what is seen in later ones.")
    if not diagnosis.findings:
        out.append("Nothing found.")
    if diagnosis.checked:
        out.append(f"Checked: {', '.join(diagnosis.checked)}.")
    out += [f"Not checked: {fault} ({why})." for fault, why in diagnosis.not_checked.items()]
    return out


def first(diagnosis: Mapping[str, Any] | None) -> str:
    """The first finding of a report in a line; empty if there is none, or if the report has no diagnosis."""
    findings = (diagnosis or {}).get("findings") or []
    if not findings:
        return ""
    return f"The doctor, on {findings[0].get('fault')}: {findings[0].get('what')}"


def figures(evidence: Mapping[str, Any]) -> str:
    """The evidence as "name value, name value"."""
    return ", ".join(f"{key} {format_value(value)}" for key, value in evidence.items())


def change(key: str, value: Any) -> str:
    """A change of a setting as an option --set, or in words if no single value does it."""
    words = isinstance(value, str) and " " in value
    return f"{key}: {value}" if words else f"--set {key}={format_value(value) or repr('')}"


def format_value(value: Any) -> str:
    """A value with four significant digits; true and false as in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
