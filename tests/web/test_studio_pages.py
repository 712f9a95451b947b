"""Every page of the studio: accessible, at home on a phone and in the dark, quiet; and runs watched live."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from trueward.records import Prompt, Response
from trueward.studio import demonstration
from trueward.studio.store import projects

PAGES = {
    "home": "/",
    "welcome": "/welcome",
    "compare": "/compare/demonstration",
    "rank": "/rank/several",
    "write": "/write/how-to",
    "project": "/projects/demonstration",
    "runs": "/runs",
    "run": "/runs/baseline",
    "people": "/people",
    "nowhere": "/no/such%E0%A0/page",
}
READY = {
    "home": "text=Latest runs",
    "welcome": "text=Make the demonstration",
    "compare": ".answer",
    "rank": ".ranked",
    "write": "textarea",
    "project": "text=Drop a file here",
    "runs": "text=baseline",
    "run": "text=What it says",
    "people": "text=Invite somebody",
    "nowhere": "text=There is no such page",
}
HOSTILE = "<img src=x onerror=document.title='owned'>\u202e"


@pytest.fixture
def furnished(served: Any, baseline: Path) -> Any:
    """Two projects and a finished run, in whose samples there is an answer that would like to do harm."""

    def work(connection: Any) -> None:
        demonstration.make(connection)
        projects.create(connection, "how-to", "write")
        projects.add_prompts(connection, projects.get(connection, "how-to"), [Prompt(text="Boil an egg?")])
        projects.create(connection, "several", "rank", instructions="The best first.")
        several = tuple(Response(id=str(i), text=f"answer {i} " * 30) for i in range(5))
        projects.add_slates(
            connection, projects.get(connection, "several"), [projects.Slate(Prompt(text="q"), several)]
        )

    served.studio.database.write(work)
    copied = served.studio.runs.home / "baseline"
    shutil.copytree(baseline, copied, ignore=shutil.ignore_patterns("model", "best", "annotators"))
    samples = copied / "policy" / "samples.jsonl"
    rows = [json.loads(row) for row in samples.read_text().splitlines()]
    rows = [{**row, "response": HOSTILE} for row in rows]
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return served


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_page_fits_and_is_accessible(furnished: Any, check_page: Any, width: int, scheme: str) -> None:
    """No serious violation of axe's rules, nothing wider than the screen, one heading of the first level."""
    page = furnished.enter(
        "boss", "admin", viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True
    )
    for name, path in PAGES.items():
        page.goto(f"{furnished.address}{path}")
        page.locator(READY[name]).first.wait_for()
        page.wait_for_timeout(150)
        check_page(page, name)
    furnished.said[:] = [line for line in furnished.said if "404" not in line]  # of the page that there isn't


def test_hostile_samples_stay_text(furnished: Any) -> None:
    page = furnished.enter("boss", "admin", "/runs/baseline")
    page.locator("text=What it says").wait_for()
    assert page.locator(".side .verbatim").nth(1).inner_text() == HOSTILE.replace("\u202e", "U+202E")
    assert page.locator("main img").count() == 0
    assert page.title() == "baseline · Runs · trueward studio"


@pytest.mark.parametrize("width", [390, 1280])
def test_heads_of_figures_stand_above_their_columns(furnished: Any, width: int) -> None:
    page = furnished.enter("boss", "admin", "/runs/baseline", viewport={"width": width, "height": 800})
    table = page.get_by_role("region", name="The final evaluation").locator("table")
    table.wait_for()
    heads, cells = (table.locator(f"{part} tr").first.locator("th, td").all() for part in ("thead", "tbody"))
    edges = [[box["x"] + box["width"] for box in (cell.bounding_box() for cell in row)] for row in (heads, cells)]
    assert len(edges[0]) == len(edges[1]) == 7
    assert edges[0] == pytest.approx(edges[1], abs=1)


def test_two_runs_on_one_plot(furnished: Any) -> None:
    home = furnished.studio.runs.home
    shutil.copytree(home / "baseline", home / "sweep" / "another")
    page = furnished.enter("boss", "admin", "/runs")
    for name in ("baseline", "sweep/another"):
        page.get_by_label(f"overlay {name}").check()
    page.get_by_role("heading", name="2 runs on one plot").wait_for()
    page.locator("[data-test=peak]").nth(1).wait_for()
    for figure in ("Truth", "Proxy"):  # where each run ended, apart from its line
        chart = page.locator(".chart", has=page.get_by_role("heading", name=figure, exact=True))
        chart.locator("title", has_text="final evaluation").nth(1).wait_for(state="attached")
        assert chart.locator("title", has_text="final evaluation").count() == 2
    page.get_by_role("searchbox").fill("sweep")
    page.get_by_label("overlay baseline").wait_for(state="detached")
    page.get_by_role("region", name="Runs").get_by_role("link", name="sweep/another").click()
    page.get_by_role("heading", name="sweep/another").wait_for()


def test_a_sample_goes_to_compare_blind(furnished: Any) -> None:
    page = furnished.enter("boss", "admin", "/runs/baseline")
    page.locator("text=What it says").wait_for()
    page.get_by_label("step", exact=True).fill("1")  # the second evaluation
    page.locator("[data-test=step]", has_text="1").wait_for()
    page.get_by_role("button", name="next prompt").click()
    page.get_by_role("button", name="Send this pair to Compare").click()
    page.locator(".toast", has_text="blind").wait_for()
    page.get_by_role("button", name="Send this pair to Compare").click()
    page.locator(".toast", has_text="has this pair already").wait_for()
    with furnished.studio.database.reading() as connection:
        project = projects.get(connection, "demonstration")
        assert projects.open_round(connection, project.id).number == 1
    anna = furnished.enter("anna", path="/compare/demonstration")
    anna.locator("[data-test=progress]", has_text="0 done · 13 left").wait_for()


def test_writing_and_writing_again(furnished: Any) -> None:
    page = furnished.enter("anna", path="/write/how-to")
    box = page.get_by_label("Your answer")
    box.fill("Ten minutes, the first draft")
    page.wait_for_timeout(100)
    page.reload()
    page.wait_for_function(
        "() => document.querySelector('textarea')?.value.startsWith('Ten')"
    )  # the draft is still there
    box.fill("Ten minutes in boiling water.")
    page.keyboard.press("Control+Enter")
    page.locator("[data-test=finished]").wait_for()
    page.locator(".past li button").first.click()
    page.wait_for_function("() => document.querySelector('textarea')?.value.startsWith('Ten')")
    box.fill("Eight minutes.")
    page.get_by_role("button", name="Keep and go on").click()
    page.locator(".past", has_text="Eight minutes.").wait_for()
    votes = furnished.votes("how-to")
    assert [v.text for v in votes] == ["Eight minutes."]
    assert [e.kind for e in furnished.events()] == ["write", "write"]


def test_an_invited_annotator_and_a_closed_round(furnished: Any) -> None:
    """An admin invites Anna by a link, she judges one pair, the round is closed on its page."""
    boss = furnished.enter("boss", "admin", "/people")
    boss.get_by_label("Name").fill("anna")
    boss.get_by_role("button", name="Invite").click()
    link = boss.locator("[data-test=invitation]").inner_text()
    context = furnished.browser.new_context()
    furnished.contexts.append(context)
    anna = context.new_page()
    furnished.watch(anna)
    anna.goto(link)
    anna.get_by_role("link", name="Compare (12)").click()
    anna.locator(".answer").first.wait_for()
    anna.keyboard.press("1")
    furnished.until(lambda: len(furnished.votes("demonstration")) == 1)
    other = context.browser.new_context().new_page()
    other.goto(link)  # a second time
    other.get_by_role("heading", name="Sign in").wait_for()
    other.context.close()
    boss.goto(f"{furnished.address}/projects/demonstration")
    boss.get_by_role("button", name="Close round 1").click()
    boss.get_by_role("button", name="Close it").click()
    boss.locator("text=studio:demonstration").first.wait_for()
    boss.get_by_role("button", name="Exclude").first.click()
    boss.get_by_label("The reason").fill("a trial")
    boss.get_by_role("dialog").get_by_role("button", name="Exclude").click()
    boss.locator("td .chip", has_text="excluded").wait_for()
    assert furnished.votes("demonstration") == []


def grow(run: Path, first: int, last: int) -> None:
    with (run / "policy" / "metrics.jsonl").open("a") as file:
        for step in range(first, last + 1):
            value = None if step == 7 else step / 10
            file.write(json.dumps({"step": step, "objective/scores": value, "policy/entropy_avg": 3.0}) + "\n")


def evaluated(run: Path, step: int, truth: float, verdict: str) -> None:
    row = {"step": step, "proxy": step / 5, "truth": truth, "truth_se": 0.1, "kl": step / 2, "win_rate": 0.6}
    with (run / "policy" / "evaluations.jsonl").open("a") as file:
        file.write(json.dumps({**row, "verdict": verdict, "rule": "as it is"}) + "\n")


def test_a_run_is_watched_live(served: Any) -> None:
    """Rows appear as they are written; the badge says when the process is gone; a resume takes the place of what was."""
    run = served.studio.runs.home / "live one"
    (run / "policy").mkdir(parents=True)
    (run / "recipe.toml").write_text('name = "x"\n[policy]\nkind = "ppo"\nsteps = 30\n')
    (run / "pipeline.json").write_text(json.dumps([{"name": "policy", "state": "running", "seconds": 0}]))
    lock = (run / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    evaluated(run, 0, 0.0, "inconclusive")
    grow(run, 1, 6)
    page = served.enter("boss", "admin", "/runs")
    page.get_by_role("link", name="live one").click()
    badge, verdict = page.locator("[data-test=badge]"), page.locator("[data-test=verdict]")
    badge.locator("text=live").wait_for()
    chart = page.locator(".chart", has_text="Proxy of the rollouts")
    chart.locator("text=step 6").wait_for()
    grow(run, 7, 12)
    evaluated(run, 10, 0.9, "learning")
    chart.locator("text=step 12").wait_for()
    verdict.locator("text=learning").wait_for()
    page.locator("[data-test=peak]").first.wait_for()
    evaluated(run, 20, 0.2, "over-optimised")
    verdict.locator("text=over-optimised").wait_for()
    lock.close()
    badge.locator("text=crashed").wait_for()
    # it goes on from its checkpoint: rows 9 and on, and the last evaluation, are written again
    lines = (run / "policy" / "metrics.jsonl").read_text().splitlines(keepends=True)
    os.truncate(run / "policy" / "metrics.jsonl", sum(map(len, lines[:8])))
    lock = (run / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    grow(run, 9, 9)
    badge.locator("text=live").wait_for()
    chart.locator("text=step 9").wait_for()
    lock.close()
