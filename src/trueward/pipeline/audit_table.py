"""The table of an audit: what audit.json holds, whichever way the answers came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trueward import __version__
from trueward.artifacts import write_json, write_text
from trueward.evaluation.verdict import RunVerdict

Row = dict[str, Any]
FORMAT = 1
JSON, PAGE = "audit.json", "audit.html"
SHOWN = 10  # prompts whose answers are in the table


def audit_table(
    *,
    kind: str,
    sources: Sequence[str],
    reference: str,
    baseline_step: int,
    truths: Sequence[str],
    proxy: str | None,
    units: Mapping[str, Row],
    seed: int,
    rows: Sequence[Row],
    verdict: RunVerdict | None,
    policies: Mapping[str, Row],
    feature_shift: Sequence[Row],
    samples: Sequence[Row],
    notes: Sequence[str],
    length_unit: str,
) -> Row:
    """All of it as JSON. rows: the reference's own and one for each look. sources: files or checkpoints."""
    decided = verdict.table() if verdict else None
    if decided:
        decided["rule"] = of_reference(decided["rule"])
    history = [{**row, "rule": of_reference(row["rule"])} if row.get("rule") else dict(row) for row in rows]
    if baseline_step:
        history[0]["step"] = baseline_step
    return {
        "format": FORMAT,
        "trueward": __version__,
        "kind": kind,
        "sources": list(sources),
        "reference": reference,
        "truths": list(truths),
        "proxy": proxy,
        "units": {name: dict(unit) for name, unit in units.items()},
        "seed": seed,
        "verdict": decided,
        "best_step": decided["best_step"] if decided else None,
        "length_unit": length_unit,
        "policies": {name: dict(row) for name, row in policies.items()},
        "feature_shift": list(feature_shift),
        "history": history,
        "samples": _worst(samples),
        "notes": list(dict.fromkeys(notes)),
    }


def of_reference(rule: str) -> str:
    """A rule's words, for a baseline that need not be an SFT policy."""
    return rule.replace("SFT’s", "the reference’s").replace("from SFT", "from the reference")


def write(table: Row, folder: Path) -> Path:
    """Write audit.json and audit.html; returns the page's path."""
    from trueward.reporting import audit_page

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / JSON, table)
    write_text(folder / PAGE, audit_page.page(table))
    return folder / PAGE


def _worst(samples: Sequence[Row]) -> list[Row]:
    """One answer to each of some prompts: first those that the proxy likes most beyond what the truth says."""

    def gap(row: Row) -> float:
        proxy, truth = row.get("proxy"), row.get("truth")
        return float("-inf") if proxy is None or truth is None else float(proxy) - float(truth)

    unique: dict[str, Row] = {}
    for row in sorted(samples, key=gap, reverse=True):
        unique.setdefault(row["prompt"], row)
    return list(unique.values())[:SHOWN]
