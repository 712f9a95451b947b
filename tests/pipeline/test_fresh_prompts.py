"""`best` is the highest of many looks, so it is measured again on prompts that no look has seen (EXACT, row 26)."""

from __future__ import annotations

import json
from pathlib import Path

from trueward import config
from trueward.pipeline.report import notes


def prompts(path: Path) -> set[str]:
    return {json.loads(row)["prompt"] for row in path.read_text().splitlines()}


def test_the_evaluation_asks_other_prompts_than_the_looks(baseline: Path) -> None:
    looks = prompts(baseline / "policy/samples.jsonl")
    assert len(looks) == 16
    measured = {path.stem: prompts(path) for path in (baseline / "evaluation").glob("*.jsonl")}
    assert set(measured) == {"base", "sft", "policy", "best"}
    for name, asked in measured.items():
        assert len(asked) == 16
        assert not asked & looks, name
        assert asked == measured["best"]
    held_out = {json.loads(r)["text"] for r in (baseline / "prepare/prompts_held_out.jsonl").read_text().splitlines()}
    assert looks | measured["best"] <= held_out


def said(there: int, *changes: str) -> list[str]:
    summary = {"ignored_columns": {}, "prompts_held_out": there}
    return notes(summary, config.read("tiny", ["evaluation.final_prompts=30", "evaluation.step_prompts=20", *changes]))


def test_where_there_are_too_few_the_report_says_so() -> None:
    assert said(50) == []
    (note,) = said(49)
    assert note.startswith(
        "1 of the final evaluation's 30 prompts were used while training, too, for only 49 are held out"
    )
    (note,) = said(25)
    assert note.startswith("20 of the final evaluation's 25 prompts were")
    assert said(25, "policy.kind=best_of_n") == []  # nothing is trained, so nothing was picked
