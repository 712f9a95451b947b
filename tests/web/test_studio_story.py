"""The whole story: people compare, a recipe trains on their clicks, the run is watched, a pair goes back to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trueward.cli import collect
from trueward.data import comparisons as compared
from trueward.data import snapshots

PAIRS = 40


def judge(page: Any, turns: int, choose: Callable[[int, str, str], str]) -> None:
    """Press a key for each of so many pairs, and see the next one come."""
    for turn in range(turns):
        answers = page.locator(".answer .verbatim")
        answers.first.wait_for()
        before = page.locator(".answers").inner_text() + page.locator("[data-test=progress]").inner_text()
        page.keyboard.press(choose(turn, answers.nth(0).inner_text(), answers.nth(1).inner_text()))
        page.wait_for_function(
            "old => !document.querySelector('.answers') || document.querySelector('.answers').innerText + "
            "document.querySelector('[data-test=progress]').innerText !== old",
            arg=before,
        )


def shorter(turn: int, left: str, right: str) -> str:
    return "2" if (len(left), left) < (len(right), right) else "6"


def test_the_whole_story(
    served: Any, baseline: Path, tmp_path: Path, make_processes: Any, small: Callable[..., list[str]]
) -> None:
    # a policy answers, and the pairs are put to two people
    collect.make(f"{baseline}/sft", "p", overlap=2, count=PAIRS, max_new_tokens=12, data=served.studio.data)
    with served.studio.database.reading() as connection:
        from trueward.studio.store import counts, projects

        there = counts.short(connection, projects.get(connection, "p"))["round"]["items"]
    assert PAIRS - 5 <= there <= PAIRS
    anna = served.enter("anna", path="/compare/p")
    ben = served.enter("ben", path="/compare/p")
    judge(anna, there, shorter)
    judge(ben, 3, shorter)
    judge(ben, 1, lambda *_: "7")  # a slip, taken back
    ben.keyboard.press("u")
    ben.locator("[data-test=progress]", has_text="3 done").wait_for()
    against = {"2": "6", "6": "2"}
    judge(ben, 1, lambda turn, left, right: against[shorter(turn, left, right)])  # a disagreement
    judge(ben, there - 4, shorter)
    for page in (anna, ben):
        page.locator("[data-test=finished]").wait_for()
    served.until(lambda: len(served.votes()) == 2 * there)

    # the round is closed, and the disagreement shows
    boss = served.enter("boss", "admin", "/projects/p")
    agreement = boss.locator(".stat", has_text="of two people agree").locator("b")
    assert agreement.inner_text() == f"{100 * (there - 1) / there:.0f} %"
    boss.get_by_role("button", name="Close round 1").click()
    boss.get_by_role("button", name="Close it").click()
    boss.locator("text=studio:p").first.wait_for()
    closed = snapshots.snapshots("studio:p", served.studio.data)
    rows = compared.read_all(closed).rows
    assert len(rows) == 2 * there
    assert [e.kind for e in served.events()].count("undo") == 1

    # a tiny recipe trains on the clicks, for long enough that a browser gets there, and is watched meanwhile
    with make_processes(tmp_path) as processes:
        processes.start(
            *small("comparisons.source=studio:p", "evaluation.every=4", "policy.steps=100"), "--out", "runs/story"
        )
        boss.goto(f"{served.address}/runs")
        boss.get_by_role("link", name="story").click()
        boss.locator("[data-test=badge]", has_text="live").wait_for(timeout=200_000)
        boss.locator("[data-test=verdict]").wait_for(timeout=400_000)
        boss.locator("[data-test=badge]", has_text="finished").wait_for(timeout=400_000)
        assert processes.finish() == 0, (tmp_path / "stderr").read_text()
    report = json.loads((tmp_path / "runs/story/report.json").read_text())
    boss.locator("[data-test=verdict]", has_text=report["verdict"]["word"]).wait_for()
    assert report["annotators"]["simulated"] is False
    assert report["reward_model"]["comparisons"] + report["reward_model"]["held_out"] == 2 * there
    manifest = json.loads((tmp_path / "runs/story/comparisons/manifest.json").read_text())
    assert manifest["summary"]["source"] == "studio:p"

    # one of its answers goes back to people
    boss.get_by_role("button", name="Send this pair to Compare").click()
    boss.locator(".toast", has_text="The pair is in p now").wait_for()
    anna.get_by_role("button", name="Look again").click()
    judge(anna, 1, shorter)
    served.until(lambda: len(served.votes()) == 2 * there + 1)
