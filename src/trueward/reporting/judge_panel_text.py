"""The judges of [[evaluation.judge]] in a report: a line for each, how far they agree, and what they left unjudged."""

from __future__ import annotations

from typing import Any

from trueward.reporting.formatting import SPACE, between, percent

Row = dict[str, Any]


def rows(report: Row) -> list[tuple[str, Row]]:
    """Each judge's figures on the last policy's answers, by name."""
    last = (report.get("policies") or {}).get("policy") or {}
    judges = last.get("judges")
    return (
        [(str(name), row) for name, row in judges.items() if isinstance(row, dict)] if isinstance(judges, dict) else []
    )


def sentences(report: Row) -> list[str]:
    """A line for each judge, one about the panel; empty without judges."""
    lines = [_line(name, row) for name, row in rows(report)]
    last = (report.get("policies") or {}).get("policy") or {}
    panel = last.get("judge_panel")
    if isinstance(panel, dict) and panel.get("agreement") is not None:
        chance = "" if panel.get("alpha") is None else f", Krippendorff’s α {panel['alpha']:.2f}".replace("-", "−")
        worst = f"; {panel['worst']} likes the policy least" if panel.get("worst") else ""
        lines.append(
            f"The {panel.get('judges')} judges agree in {percent(panel['agreement'])} of cases{chance}{worst}."
        )
    return lines


def _line(name: str, row: Row) -> str:
    missing = row.get("missing") or 0
    every = missing + (row.get("items") or 0)
    why = f" ({row['failure']})" if row.get("failure") else ""
    if row.get("win_rate") is None:
        return f"The judge {name}: not measured, {missing} of {every} answers have no judgement{why}."
    text = f"The judge {name} prefers {_share(row, 'win_rate')} of the policy’s answers to SFT’s"
    if row.get("win_rate_at_length") is not None:
        text += f", {_share(row, 'win_rate_at_length')} at equal lengths"
    return f"{text}; {missing} of {every} were not judged{why}." if missing else f"{text}."


def _share(row: Row, key: str) -> str:
    interval = between(row.get(f"{key}_low"), row.get(f"{key}_high"))
    return percent(row[key]) + (f" (95{SPACE}%: {interval})" if interval else "")
