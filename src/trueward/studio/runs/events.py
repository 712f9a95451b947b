"""What happened in a run, in order: stages, what they left out, evaluations and what they changed. For the page's log."""

from __future__ import annotations

import os
import re
from typing import Any

from trueward.artifacts import MANIFEST
from trueward.studio.runs import files
from trueward.studio.runs.contents import Contents
from trueward.studio.runs.files import Table

BAD = ("over-optimised", "hacking", "broken")


def events(run: Contents) -> list[dict[str, Any]]:
    """A row an event: stage, step (of an evaluation), text, `level` (plain, warn or bad), and when, where it is known."""
    report = run.report()
    rows: list[dict[str, Any]] = []
    for stage in run.stages():
        name, seconds = str(stage["name"]), stage.get("seconds")
        try:
            at = os.stat(run.path / name / MANIFEST).st_mtime
        except OSError:
            at = None
        if name == "policy":
            rows += _evaluations(run)
        spent = f" in {seconds:,.1f} s" if isinstance(seconds, int | float) and seconds else ""
        state = stage.get("state")
        level = "warn" if state == "stopped" else "plain"
        rows.append(_event(name, f"{state}{spent}", level, at=at))
        summary = run.summary(name) if name != "report" else {}
        for kind, done in (("left_out", "left out"), ("cut", "cut")):
            told = summary.get(kind)
            for row in told if isinstance(told, list) else []:
                if isinstance(row, dict):
                    count = files.number(row, "rows")
                    text = f"{count or 0:,.0f} {row.get('what')} {done}: {row.get('reason')}"
                    rows.append(_event(name, text, "warn"))
    for key in ("notes", "early_warnings"):
        told = report.get(key)
        rows += [_event("report", str(text), "warn") for text in (told if isinstance(told, list) else [])]
    verdict = files.table(report, "verdict")
    if word := files.word(verdict, "word"):
        level = "bad" if word in BAD else "plain"
        rows.append(_event("report", f"verdict: {word}, {files.word(verdict, 'rule') or ''}", level))
    return rows


def _evaluations(run: Contents) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    before, warned = "", set()
    for row in run.rows("policy/evaluations.jsonl"):
        step, word = files.number(row, "step"), files.word(row, "verdict") or ""
        figures = [
            f"{name} {value:+.2f}".replace("-", "−")
            for name in ("proxy", "truth")
            if (value := files.number(row, name)) is not None
        ]
        if (kl := files.number(row, "kl")) is not None:
            figures.append(f"KL {kl:.1f}")
        text = f"evaluated: {', '.join(figures)}" if figures else "evaluated"
        level = "bad" if word in BAD else "plain"
        if word and word != before:
            text += f"; verdict now {word}, {files.word(row, 'rule') or ''}"
        rows.append(
            _event("policy", text, level if word != before else "plain", step, seconds=files.number(row, "seconds"))
        )
        before = word
        told = row.get("early_warnings")
        for warning in told if isinstance(told, list) else []:
            kind = re.sub(r"[\d.,]+", "", str(warning))
            if kind not in warned:  # each one is told when it begins
                warned.add(kind)
                rows.append(_event("policy", str(warning), "warn", step))
    return rows


def _event(
    stage: str, text: str, level: str, step: float | None = None, at: float | None = None, seconds: float | None = None
) -> Table:
    return {"stage": stage, "step": step, "text": files.text(text), "level": level, "at": at, "seconds": seconds}
