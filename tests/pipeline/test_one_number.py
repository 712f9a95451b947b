"""One number for one thing: how far a policy is from SFT, the same to the last digit wherever it is printed."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import trueward as tw
from trueward import artifacts
from trueward.evaluation import frontier, sweep
from trueward.evaluation.doctor import DoctorInputs
from trueward.evaluation.doctor_figures import truth_gain
from trueward.reporting import anchor, frontier_page, model_card, report_text, stage_text, sweep_page, verdict_text
from trueward.reporting import report as pages
from trueward.reporting.formatting import signed, within
from trueward.studio.runs.library import Library

RUNS = {
    "ppo": (),
    "grpo": ("policy.kind=grpo",),
    "dpo": ("policy.kind=dpo",),
    "sft_on_best": ("policy.kind=sft_on_best", "policy.best_of_n.n=2"),
    "best_of_n": ("policy.kind=best_of_n",),
    "a firm anchor": ("policy.kl_coef=2.0",),
}
ENOUGH = ("evaluation.step_prompts=24", "evaluation.final_prompts=24")


@pytest.fixture(scope="module", params=RUNS)
def run(request: pytest.FixtureRequest, baseline: Path, climb: Callable[..., Any]) -> Path:
    name = f"one number {request.param}"
    climb(baseline.parent, name, *RUNS[request.param], *ENOUGH)
    return baseline.parent / name


def plain(text: str) -> str:
    """What a reader sees of a page, with ordinary spaces."""
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", text))).replace("\u00a0", " ")


def cells(table: Any, column: str) -> dict[str, str]:
    """A terminal table's column by the first one's text."""
    names = [str(cell) for cell in table.columns[0].cells]
    (place,) = [i for i, c in enumerate(table.columns) if str(c.header) == column]
    return dict(zip(names, (str(cell) for cell in table.columns[place].cells), strict=True))


@pytest.mark.parametrize("key", ["truth", "proxy"])
def test_the_difference_from_sft_is_the_same_everywhere(run: Path, key: str) -> None:
    report = artifacts.read_json(run / "report.json")
    rows, numbers = report["policies"], report["verdict"]["numbers"]
    policy = rows["policy"]
    gain, half = signed(policy[f"{key}_gain"]), within(policy[f"{key}_gain_se"]).replace("\u00a0", " ")
    assert rows["sft"][key] == rows["sft"][f"{key}_gain"] == 0.0, "what 0 stands for"
    assert policy[key] == policy[f"{key}_gain"] == numbers[f"{key}_gain"]
    assert policy[f"{key}_se"] == policy[f"{key}_gain_se"]

    shown: dict[str, str] = {}
    shown["table"] = cells(pages.table(report), key)["policy"]
    assert shown["table"] == f"{gain} {half}"
    assert cells(pages.table(report), key)["SFT"] == "+0.00"
    shown["verdict"] = dict(verdict_text.facts(numbers))[f"{key.capitalize()} against SFT’s"]
    if key == "truth":
        shown["sentence"] = verdict_text.sentence(report["verdict"])
        shown["studio"] = signed(studio(run)["truth"])
        inputs = DoctorInputs(recipe=report["recipe"], policies=rows)
        doctor = truth_gain(inputs)
        assert doctor is not None
        shown["doctor"] = signed(doctor)
        swept = sweep.row(0.1, 0, "x", report)
        (point,) = sweep.points([swept])
        shown["sweep"] = signed(swept["truth"] - swept["sft_truth"])
        shown["sweep's point"] = sweep_page.signed(point.truth)
        shown["card"] = model_card.table(report, "policy")
    else:
        shown["sentence"] = verdict_text.sentence(report["verdict"])
        shown["studio"] = signed(studio(run)["proxy"])
    shown["page"] = plain((run / "report.html").read_text(encoding="utf-8"))
    if line := anchor.length_line(policy, rows["sft"]):
        shown["length"] = line
    shown["stage"] = " ".join(stage_text.sentences(run / "evaluation"))
    opened = tw.Run(run)
    assert opened.report is not None
    assert opened.verdict is not None
    shown["api"] = signed(getattr(opened.report.policies.policy, key))
    shown["api's verdict"] = signed(getattr(opened.verdict.numbers, f"{key}_gain"))
    joined = frontier.frontier([frontier.FrontierRun("x", report, {})])
    shown["frontier"] = signed(joined["runs"][0]["final"][key])
    assert frontier_page.signed(joined["sft"][key]) == "+0.00"
    for place, text in shown.items():
        assert gain in text, place
    headline = report_text.headline(report).lower()
    size = f"{abs(policy[f'{key}_gain']):.2f}"
    assert size in headline


def studio(run: Path) -> dict[str, Any]:
    (row,) = [row for row in Library(run.parent).table() if row["name"] == run.name]
    return row


def test_a_fall_has_one_size(run: Path) -> None:
    """The best checkpoint less the last policy, in the table and in the test of the final evaluation."""
    final = artifacts.read_json(run / "evaluation" / "manifest.json")["summary"]
    if final["fall"] is None:
        return
    rows = final["policies"]
    assert final["fall"]["drop"] == pytest.approx(rows["best"]["truth"] - rows["policy"]["truth"], abs=2e-5)


def test_the_title_says_what_was_done(run: Path) -> None:
    report = artifacts.read_json(run / "report.json")
    fresh = report["optimiser"]["kind"] != "best_of_n"
    title = str(pages.table(report).title)
    assert title.endswith("measured on 24 fresh prompts" if fresh else "measured on 24 held-out prompts")
    assert f"Every policy on the same 24 {'fresh' if fresh else 'held-out'} prompts." in plain(
        (run / "report.html").read_text(encoding="utf-8")
    )
    report["evaluated_on"]["used_before"] = 9
    assert str(pages.table(report).title).endswith("measured on 24 held-out prompts, 9 of them used while training")
