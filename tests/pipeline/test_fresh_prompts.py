"""`best` is the highest of many looks, so it is measured again on prompts that no look has seen (EXACT, row 26)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trueward import config
from trueward.pipeline.held_out import divide
from trueward.pipeline.report import notes
from trueward.records import Prompt


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


def listed(there: int) -> list[Prompt]:
    return [Prompt(text=f"p{i}") for i in range(there)]


@pytest.mark.parametrize(
    ("there", "steps", "reserved", "missing", "final"),
    [
        (500, 128, 372, 0, 256),
        (256, 128, 128, 0, 128),
        (200, 100, 100, 0, 100),  # at most half
        (41, 21, 20, 0, 20),
        (40, 20, 20, 0, 20),
        (39, 39, 0, 1, 39),  # not enough for both: no alarm, and the final evaluation asks them all
        (10, 10, 0, 30, 10),
    ],
)
def test_how_prompts_are_divided(there: int, steps: int, reserved: int, missing: int, final: int) -> None:
    prompts = listed(there)
    divided = divide(prompts, 128)
    assert (len(divided.steps), len(divided.reserved), divided.missing) == (steps, reserved, missing)
    assert divided.steps + divided.reserved == prompts
    last = divided.final(256)
    assert len(last) == final
    assert divided.used_before(256) == len({p.id for p in last} & {p.id for p in divided.steps})
    assert last[: min(final, 5)] == prompts[::-1][: min(final, 5)]


def test_without_evaluations_in_training_all_are_reserved() -> None:
    divided = divide(listed(30), 0)
    assert (divided.steps, len(divided.reserved), divided.missing) == ([], 30, 0)


def noted(there: int, *changes: str) -> list[str]:
    summary = {"ignored_columns": {}, "prompts_held_out": there}
    recipe = config.read("tiny", ["evaluation.final_prompts=30", "evaluation.step_prompts=20", *changes])
    divided = divide(listed(there), 0 if recipe.policy.kind == "best_of_n" else 20)
    final = {"prompts": len(divided.final(30)), "used_before": divided.used_before(30), "missing": divided.missing}
    return notes(summary, recipe, final)


def test_where_there_are_too_few_the_report_says_so() -> None:
    assert noted(50) == noted(40) == []
    missing, before = noted(39)
    assert missing.startswith("no alarm of a fall from the peak can be given: 39 prompts are held out, and 1 more are")
    assert before.startswith("11 of the final evaluation's 30 prompts were used while training, too")
    assert noted(25, "policy.kind=best_of_n") == []  # nothing is trained, so nothing was picked
    (cut,) = noted(50, "evaluation.step_prompts=30")
    assert cut.startswith("evaluations in training used 25 of the 50 held-out prompts and not 30")
