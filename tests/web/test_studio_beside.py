"""Tags, tokens, sweeps and a model's labels on the studio's pages, by mouse, by keyboard and to a screen reader."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from trueward.evaluation import sweep
from trueward.records import Prompt
from trueward.studio import demonstration
from trueward.studio.store import accounts, answers, labels, projects, queue

BETA = "policy.kl_coef"
TOKENS = {"ends": [4, 10, 10, 14, 14], "log_ratio": [0.0, 2.5, -0.25, -4.0, 0.125]}
RESPONSE = "<b> is \u202ea film"


def swept(home: Path, runs: dict[str, float], planned: int) -> None:
    """sweep.json as far as these runs are."""
    rows = [
        sweep.row(value, 0, name, json.loads((home / name / "report.json").read_text())) for name, value in runs.items()
    ]
    points = sweep.points(rows)
    advice = sweep.advise(points)
    found = {
        "format": 2, "recipe": "tiny", "over": BETA, "command": "trueward sweep tiny", "planned": planned,
        "advice": advice.table() if advice else None, "sentence": sweep.sentence(BETA, advice),
        "points": [p.table() for p in points], "forms": {}, "runs": rows,
    }  # fmt: skip
    (home / "sweep.json").write_text(json.dumps(found).replace("NaN", "null"))


@pytest.fixture
def furnished(served: Any, baseline: Path) -> Any:
    """Two runs of a sweep, one more, and a project with people's votes and a model's labels."""

    def work(connection: Any) -> None:
        demonstration.make(connection)
        project = projects.get(connection, "demonstration")
        for name in ("anna", "ben"):
            account = accounts.create(connection, name, "annotator")
            for item in queue.take(connection, project, account, 5):
                given = answers.Answer(item["assignment"], f"{name}-{item['assignment']}", "win", side="left")
                answers.store(connection, account, given)
        path = Path(demonstration.__file__).with_name("demonstration.jsonl")
        rows = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
        pairs = [
            projects.pair(Prompt(text=r["prompt"]), (r["first"], r["second"]), ("", ""), (True, True)) for r in rows
        ]
        labels.add(connection, project, [labels.Label(pair, "model-x", 0.8) for pair in pairs])

    served.studio.database.write(work)
    home = served.studio.runs.home
    ignored = shutil.ignore_patterns("model", "best", "annotators")
    for name in ("sweep/a", "sweep/b", "plain"):
        shutil.copytree(baseline, home / name, ignore=ignored)
    swept(home / "sweep", {"a": 0.1}, 2)
    samples = home / "plain/policy/samples.jsonl"
    rows = [json.loads(row) for row in samples.read_text().splitlines()]
    assert all(len(row["tokens"]["ends"]) == row["length"] for row in rows)  # the run recorded them itself
    rows = [{**row, "response": RESPONSE, "tokens": TOKENS} for row in rows]
    samples.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return served


PAGES = {
    "runs": ("/runs", "text=tiny over policy.kl_coef"),
    "sweep": ("/sweeps/sweep", "text=Every run"),
    "run": ("/runs/plain", "text=What it says"),
    "project": ("/projects/demonstration", "text=Models beside people"),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_the_new_pages_fit_and_are_accessible(furnished: Any, check_page: Any, width: int, scheme: str) -> None:
    settings = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "bypass_csp": True}
    page = furnished.enter("boss", "admin", **settings)
    for name, (path, ready) in PAGES.items():
        page.goto(f"{furnished.address}{path}")
        page.locator(ready).first.wait_for()
        if name == "run":
            page.get_by_role("button", name="+ tag").click()
            page.get_by_label("A tag").fill("paper")
            page.get_by_role("button", name="Add").click()
            page.get_by_role("button", name="Tokens").click()
            page.locator(".token").nth(1).focus()
            page.get_by_text("The numbers by token").click()
        page.wait_for_timeout(150)
        check_page(page, name)


def test_tags_are_put_on_and_runs_found_by_them(furnished: Any) -> None:
    page = furnished.enter("boss", "admin", "/runs/sweep/a")
    for word in ("paper", "try again"):
        if not page.get_by_label("A tag").count():
            page.get_by_role("button", name="+ tag").click()
        page.get_by_label("A tag").fill(word)
        page.keyboard.press("Enter")
        page.locator(".tags .chip", has_text=word).wait_for()
    page.get_by_role("button", name="take the tag try again off").click()
    page.locator(".tags .chip", has_text="try again").wait_for(state="detached")
    page.reload()
    page.locator(".tags .chip", has_text="paper").wait_for()
    eve = furnished.enter("eve", "viewer", "/runs")
    eve.get_by_role("group", name="Show runs with").get_by_role("button", name="paper").click()
    eve.get_by_label("overlay plain").wait_for(state="detached")
    assert eve.locator(".runs tbody tr").count() == 1
    eve.get_by_role("link", name="sweep/a").click()
    eve.locator(".tags .chip", has_text="paper").wait_for()
    assert eve.locator(".tags button").count() == 0  # a viewer can only watch


def test_each_token_has_its_number(furnished: Any) -> None:
    page = furnished.enter("boss", "admin", "/runs/plain")
    page.get_by_role("button", name="Tokens").click()
    tokens, told = page.locator(".token"), page.locator("[data-test=token]")
    assert tokens.count() == 5
    said = [text.split(" +")[0].split(" −")[0] for text in tokens.all_text_contents()]
    assert said == ["<b> ", "is U+202Ea ", "·", "film", "end"]
    assert "5 tokens, −1.63 nats in all" in told.inner_text()
    tokens.nth(1).hover()
    assert "+2.500: 12 times likelier under the policy" in told.inner_text()
    tokens.nth(0).focus()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert "−4.000: 55 times likelier under SFT" in told.inner_text()
    page.keyboard.press("Home")
    assert "as likely under both" in told.inner_text()
    assert page.locator(".token[tabindex='0']").count() == 1  # one stop for the tab key
    spoken = page.get_by_role("list", name="The policy's answer by token").get_by_role("listitem")
    assert "−4.00" in spoken.nth(3).text_content()
    colours = [tokens.nth(i).evaluate("e => getComputedStyle(e).backgroundColor") for i in range(5)]
    assert len(set(colours)) == 5
    page.get_by_text("The numbers by token").click()
    rows = page.get_by_role("region", name="The numbers by token").locator("tbody tr")
    assert rows.nth(3).locator("td").last.inner_text() == "−4.000"
    page.get_by_role("button", name="Differences").click()
    tokens.first.wait_for(state="detached")
    assert page.locator("main img").count() == 0


def test_a_sweep_is_watched(furnished: Any) -> None:
    """The same picture as sweep.html's, and it moves when a value is done."""
    page = furnished.enter("boss", "admin", "/runs")
    page.get_by_role("link", name="tiny over policy.kl_coef").click()
    progress = page.locator("[data-test=progress]")
    progress.locator("text=1 of 2 runs").wait_for()
    pictures = page.locator("img.picture")
    furnished.until(lambda: all(w > 0 for w in pictures.evaluate_all("all => all.map(i => i.naturalWidth)")))
    assert "at 0.1 truth" in pictures.first.get_attribute("alt")
    before = pictures.first.get_attribute("src")
    swept(furnished.studio.runs.home / "sweep", {"a": 0.1, "b": 3.0}, 2)
    page.locator("[data-test=progress]:text-is('2 runs')").wait_for()
    assert pictures.first.get_attribute("src") != before
    values = page.get_by_role("region", name="The numbers by value").locator("tbody th").all_inner_texts()
    assert values == ["0.1", "3"]
    page.get_by_role("link", name="b", exact=True).click()
    page.get_by_role("heading", name="sweep/b").wait_for()


def test_picked_runs_have_a_frontier(furnished: Any) -> None:
    """Where they share an axis: the picture of `trueward frontier`; else why not."""
    home = furnished.studio.runs.home
    report = json.loads((home / "sweep/b/report.json").read_text())
    report["recipe"]["policy"]["kl_coef"] = 3.0
    (home / "sweep/b/report.json").write_text(json.dumps(report))
    page = furnished.enter("boss", "admin", "/runs")
    for name in ("plain", "sweep/b"):
        page.get_by_label(f"overlay {name}").check()
    picture = page.locator("img.picture")
    furnished.until(lambda: picture.evaluate_all("all => all.map(i => i.naturalWidth)") == [880])
    (home / "sweep/a/report.json").unlink()
    page.get_by_label("overlay sweep/a").check()
    page.locator("text=No frontier: sweep/a: has no report yet").wait_for()


def test_a_model_stands_beside_people(furnished: Any) -> None:
    page = furnished.enter("boss", "admin", "/projects/demonstration")
    card = page.locator("[data-test=judges]")
    card.locator(".chip", has_text="model").wait_for()
    assert "and a person agree, on 10 of 12 labels" in card.inner_text()
    assert page.locator(".stat", has_text="answers in all").locator("b").inner_text() == "10"  # people's alone
    who = page.get_by_role("region", name="Annotators").locator("tbody th").all_inner_texts()
    assert who == ["anna", "ben"]  # no model among them
    page.get_by_label("or paste rows").fill(
        json.dumps({"prompt": "a", "first": "b", "second": "c", "probability": 0.7})
    )
    page.get_by_text("Check pairs, a model’s labels").click()
    page.get_by_label("or a model’s labels").fill("model-z")
    page.locator("[data-test=preview]").get_by_text("1 of them new").wait_for()
    page.get_by_role("button", name="Import", exact=True).click()
    page.locator("text=1 of 1 were new, and 1 labels of a model").wait_for()
    card.locator("text=model-z").first.wait_for()
