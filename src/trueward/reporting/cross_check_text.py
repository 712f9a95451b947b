"""What a second reward model says of a run (`reward.cross_check`), in sentences; nothing of a run without one."""

from __future__ import annotations

from typing import Any

from trueward.evaluation.cross_check import cross_check_warning
from trueward.reporting import report_rows
from trueward.reporting.formatting import SPACE, between, count, percent, plain, signed, within

Report = dict[str, Any]
NO_TRUTH = "It is no truth: what all comparisons get wrong, both models have learned, and it does not show here."


def sentences(report: Report) -> list[str]:
    """What it sees of the proxy's gain at the end, and what that can't tell."""
    row = report_rows.policy(report, "policy")
    if row.get("second_gain") is None:
        return []
    gains = f"{signed(row['second_gain'])} {within(row.get('second_gain_se'))}{SPACE}SD".replace("  ", " ")
    return [
        f"A second reward model, fitted to comparisons of other prompts than the proxy, sees {gains} where the proxy gained "
        f"{signed(row.get('proxy_gain'))} {within(row.get('proxy_gain_se'))}{SPACE}SD. {NO_TRUTH}"
    ]


def alarm(report: Report) -> str:
    """The alarm at the end of the run, as a sentence; empty if there is none."""
    after = [row for row in report_rows.history(report) if row.get("step")]
    warning = cross_check_warning([*after, {**report_rows.policy(report, "policy"), "step": None}])
    return f"An early warning: {warning}." if warning else ""


def of_model(model: Report) -> str:
    """That the proxy was fitted to half of the comparisons, and how far the two reward models agree; empty without a second."""
    second = model.get("second") or {}
    if not second:
        return ""
    text = (
        f"It was fitted to {count(model.get('comparisons'))} comparisons, and a second reward model to "
        f"{count(second.get('comparisons'))} of other prompts (reward.cross_check)"
    )
    if second.get("accuracy") is not None:
        interval = between(second.get("accuracy_low"), second.get("accuracy_high"), 1)
        text += f", which is right in {percent(second['accuracy'], 1)} of the same held-out comparisons"
        text += f" (95{SPACE}%: {interval})" if interval else ""
    if second.get("correlation") is None:
        return text + "."
    return (
        f"{text}. On which of two SFT answers is better, and by how much, the two correlate by {plain(second['correlation'])}: "
        "what is missing to 1 each of them learned from its own half alone."
    )
