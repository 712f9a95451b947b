"""The doctor's words: what was found, why it is thought so, what to change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trueward.instruments.doctor import Diagnosis


def lines(found: Diagnosis) -> list[str]:
    """The whole diagnosis as lines of text, the lowest broken rung first."""
    out: list[str] = []
    for number, finding in enumerate(found.findings, 1):
        out += [
            f"{number}. {finding.rung}: {finding.what}",
            f"   seen: {figures(finding.evidence)}",
            f"   rule: {finding.because}",
            *(f"   change: {change(key, value)}" for key, value in finding.advice.items()),
        ]
    if len(found.findings) > 1:
        out.append("Mend the first one first: a broken rung explains what is seen above it.")
    if not found.findings:
        out.append("Nothing found.")
    if found.looked_at:
        out.append(f"Looked at: {', '.join(found.looked_at)}.")
    out += [f"Not looked at: {rung} ({why})." for rung, why in found.unseen.items()]
    return out


def first(diagnosis: Mapping[str, Any] | None) -> str:
    """The first finding of a report in a line; nothing if there is none, or if no doctor saw the run."""
    findings = (diagnosis or {}).get("findings") or []
    if not findings:
        return ""
    return f"The doctor, on {findings[0].get('rung')}: {findings[0].get('what')}"


def figures(evidence: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {shown(value)}" for key, value in evidence.items())


def change(key: str, value: Any) -> str:
    """A setting as it is given to --set, or words where no value mends it."""
    words = isinstance(value, str) and " " in value
    return f"{key}: {value}" if words else f"--set {key}={shown(value) or repr('')}"


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
