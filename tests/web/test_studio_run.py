"""A run's page: what it came to, the tabs, the time that is left, charts as files, a damaged run. One server for all of it."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import live_studio
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "studio"))
import fake_runs

BETA = "policy.kl_coef=0.7"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, browser: Any) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("runs of a studio")
    home = folder / "runs"
    fake_runs.make(home, "one", BETA, "seed=1")
    fake_runs.make(home, "going", finished=False)
    for seed, truth in ((0, 1.0), (1, 3.0)):
        fake_runs.make(home, f"sweep/s{seed}", f"seed={seed}", truth=truth)
    fake_runs.make(home, "other", 'evaluation.truths=["a"]')
    damaged = fake_runs.make(home, "torn")
    (damaged / "report.json").write_text('{"verdict": {"word": "lear')
    with live_studio.serving_studio(folder, browser) as made:
        yield made


@pytest.fixture(scope="module")
def page(studio: Any) -> Any:
    return studio.enter("boss", "admin", viewport={"width": 1280, "height": 900})


def test_the_final_evaluation_is_first_and_the_last_look_says_that_it_is_one(studio: Any, page: Any) -> None:
    page.goto(f"{studio.address}/runs/one")
    page.get_by_role("heading", name="The final evaluation").wait_for()
    figures = page.locator("[data-test=figures]").inner_text()
    assert "+1.00" in figures  # the truth on fresh prompts, not the look's +1.25
    assert "± 0.20 SD" in figures
    assert "50 % to 70 %" in figures
    assert "+1.75, measured again" in figures
    assert "on 64 fresh prompts" in page.locator("main").inner_text()
    rows = page.get_by_role("region", name="The final evaluation").locator("tbody tr")
    assert rows.last.locator("th").inner_text().startswith("last look, step 20")
    assert "not fresh" in rows.last.inner_text()
    assert "+1.25" in rows.last.inner_text()
    page.goto(f"{studio.address}/runs")
    row = page.locator(".runs tbody tr", has=page.get_by_role("link", name="one", exact=True))
    assert "+1.00" in row.inner_text()
    page.goto(f"{studio.address}/runs/going")
    page.get_by_role("heading", name="The last look, at step 10 of 20").wait_for()
    assert page.get_by_role("heading", name="The final evaluation").count() == 0


def test_tabs_by_mouse_keys_and_address(studio: Any, page: Any) -> None:
    page.goto(f"{studio.address}/runs/one")
    page.get_by_role("tab", name="Config").click()
    page.get_by_role("heading", name="2 settings differ from tiny, which ships").wait_for()
    assert page.url.endswith("/runs/one?tab=config")
    row = page.locator("table.settings tr", has_text="policy.kl_coef")
    assert row.locator("td").all_inner_texts() == ["0.7", "0.1"]
    page.keyboard.press("ArrowRight")
    page.get_by_role("heading", name="1 finding").wait_for()
    assert "--set policy.kl_coef=0.3" in page.get_by_role("tabpanel").inner_text()
    page.get_by_role("tab", name="Files").click()
    page.get_by_role("button", name="recipe.toml").click()
    page.locator("dialog", has_text="kl_coef = 0.7").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Log").click()
    page.locator("tr.bad", has_text="verdict: over-optimised, past the peak").wait_for()
    page.get_by_role("button", name="Only what to look at").click()
    page.locator("tr", has_text="done in").first.wait_for(state="detached")
    page.go_back()
    page.get_by_role("heading", name="files,").wait_for()
    page.reload()
    page.get_by_role("heading", name="files,").wait_for()


def test_the_report_opens_and_runs_nothing(studio: Any, page: Any) -> None:
    page.goto(f"{studio.address}/runs/one")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Report").click()
    opened.value.get_by_role("heading", name="The report").wait_for()
    assert opened.value.title() == "r"  # its script would have changed that
    opened.value.close()


def test_a_run_that_goes_on_says_what_is_left_and_counts_its_rows(studio: Any, page: Any) -> None:
    """The other runs of the recipe took two seconds a stage."""
    run = studio.studio.runs.home / "going"
    with live_studio.held(run / ".lock"):
        page.goto(f"{studio.address}/runs/going")
        stages = page.get_by_role("list", name="Stages")
        stages.locator("li.running", has_text="policy step 12 of 20, 0.8 s left").wait_for()
        waiting = [" ".join(text.split()) for text in stages.locator("li.waiting").all_inner_texts()]
        assert waiting == ["○ still to come: evaluation about 2.0 s", "○ still to come: report about 2.0 s"]
        assert stages.locator("[data-test=left]").inner_text() == "about 4.8 s left in all"
        count = page.locator("[data-test=rows]")
        assert count.inner_text() == "12 rows"
        with (run / "policy/metrics.jsonl").open("a") as file:
            file.write(
                json.dumps({"step": 13, "objective/kl": None})
                + "\n"
                + json.dumps({"step": 13, "objective/kl": 1})
                + "\n"
            )
        page.locator("[data-test=rows]:text-is('13 rows')").wait_for()  # step 13 was written twice


def test_a_chart_is_a_file(studio: Any, page: Any) -> None:
    page.goto(f"{studio.address}/runs/one")
    found = {}
    for kind in ("SVG", "PNG", "CSV"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Save as {kind}: Proxy and truth by step").click()
        found[kind] = (download.value.suggested_filename, Path(download.value.path()).read_bytes())
    assert [name for name, _ in found.values()] == [f"proxy-and-truth-by-step.{kind}" for kind in ("svg", "png", "csv")]
    drawn = ElementTree.fromstring(found["SVG"][1].decode())  # noqa: S314 (our own)
    assert "var(" not in found["SVG"][1].decode()
    assert "Proxy and truth by step" in [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert found["PNG"][1].startswith(b"\x89PNG")
    width = int.from_bytes(found["PNG"][1][16:20], "big")
    assert width == 2 * float(drawn.attrib["width"])
    rows = list(csv.reader(io.StringIO(found["CSV"][1].decode())))
    assert rows[0] == ["line", "step", "step", "score (SD above SFT)", "low", "high"]
    assert ["truth", "10", "10", "2"] in [row[:4] for row in rows]
    assert ["truth, final", "20", "20", "1"] in [row[:4] for row in rows]


def test_a_damaged_run_is_one_row_that_says_so(studio: Any, page: Any) -> None:
    page.goto(f"{studio.address}/runs")
    row = page.locator(".runs tbody tr", has=page.get_by_role("link", name="torn", exact=True))
    assert row.locator("[data-test=damage]").inner_text() == "damaged: report.json: not JSON"
    assert row.locator(".chip.bad", has_text="damaged").locator("visible=true").count() == 1
    row.get_by_role("link", name="torn").click()
    told = page.locator("[data-test=damage]")
    assert told.inner_text().startswith("This run is damaged: report.json: not JSON.")
    page.get_by_role("heading", name="The last look, at step 20 of 20").wait_for()
    page.get_by_role("tab", name="Doctor").click()
    page.locator(".note.bad", has_text="report.json: not JSON").wait_for()


def test_runs_beside_each_other_and_the_view_in_the_address(studio: Any, page: Any) -> None:
    """Picked by their boxes; seeds as one; across, logarithms, sorting, columns: a reload and the way back keep all of it."""
    page.goto(f"{studio.address}/runs")
    for name in ("sweep/s0", "sweep/s1", "one"):
        page.get_by_label(f"overlay {name}", exact=True).check()
    card = page.locator("[data-test=beside]")
    card.get_by_role("heading", name="3 runs on one plot").wait_for()
    truth = card.locator(".chart", has_text="Truth").first
    truth.locator("[data-test=peak]").nth(2).wait_for()
    page.get_by_role("button", name="Group seeds").click()
    truth.locator(".key", has_text="ppo β=0.1 (2 seeds)").wait_for()
    settings = card.get_by_role("region", name="How their settings differ").locator("tbody tr")
    assert settings.first.inner_text().split() == ["policy.kl_coef", "0.1", "0.7"]
    table = page.get_by_role("region", name="Runs", exact=True)
    seeds = table.locator("tbody tr", has_text="2 seeds: 0, 1")
    assert "+2.00 ± 12.71" in seeds.inner_text()  # of 1 and 3, with Student's t of two seeds
    card.get_by_label("across").select_option("step")
    card.get_by_label("figure").select_option(label="KL of the rollouts")
    rollouts = card.locator(".chart", has_text="KL of the rollouts")
    rollouts.get_by_text("KL of the rollouts, nats", exact=False).last.wait_for()
    card.get_by_role("button", name="log up").click()
    rollouts.get_by_text("nats, log axis", exact=False).wait_for()
    card.get_by_text("at or below 0, where a log axis has no place").first.wait_for()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("seed", exact=True).check()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("button", name="Group seeds").click()
    table.get_by_role("button", name="seed", exact=True).click()
    assert table.locator("th[aria-sort=descending]").inner_text().startswith("seed")
    page.get_by_role("searchbox").fill("tiny")
    page.wait_for_url(re.compile("find=tiny"), wait_until="commit")  # the address follows the page, a moment later
    wanted = page.url
    for part in ("run=sweep%2Fs1", "x=step", "ly=1", "sort=seed", "find=tiny", "objective%2Fkl"):
        assert part in wanted
    table.get_by_role("link", name="one", exact=True).click()
    page.get_by_role("heading", name="one", exact=True).wait_for()
    page.go_back()
    rollouts.get_by_text("nats, log axis", exact=False).wait_for()
    assert page.url == wanted
    page.reload()
    rollouts.get_by_text("nats, log axis", exact=False).wait_for()
    table.get_by_role("link", name="one", exact=True).click()
    page.get_by_role("main").get_by_role("link", name="Runs", exact=True).click()  # the way up keeps it too
    rollouts.wait_for()
    assert page.url == wanted


def test_other_truths_are_refused_one_axis(studio: Any, page: Any) -> None:
    page.goto(f"{studio.address}/runs?run=sweep%2Fs0&run=other&x=step")
    card = page.locator("[data-test=beside]")
    told = card.locator("[data-test=apart]")
    told.wait_for()
    assert "sweep/s0 and other: their truths differ" in told.inner_text()
    figure = card.locator("[data-test=figure].apart")
    assert figure.locator(".chart h3").all_inner_texts() == ["Truth, 1 of 2", "Truth, 2 of 2"]
    keys = [" ".join(text.split()) for text in figure.locator(".chart .key").all_inner_texts()]
    assert keys == ["sweep/s0 peak 2", "other peak 2"]
    assert card.locator(".chart", has_text="Proxy").locator(".key").count() == 2  # one axis
    card.get_by_text("No frontier: ").wait_for()


def test_notes_on_runs(studio: Any, page: Any) -> None:
    page.goto(f"{studio.address}/runs/one")
    page.get_by_role("button", name="+ note").click()
    page.get_by_label("A note on this run").fill("Kept for the paper \u202e")
    page.get_by_role("button", name="Keep the note").click()
    page.locator(".run-note .told", has_text="Kept for the paper U+202E").wait_for()
    eve = studio.enter("eve", "viewer", "/runs?col=state,note&find=paper")
    eve.locator(".note-cell", has_text="Kept for the paper").wait_for()
    assert eve.locator(".runs tbody tr").count() == 1
    eve.get_by_role("link", name="one", exact=True).click()
    eve.locator(".run-note .told").wait_for()
    assert eve.get_by_role("button", name="Change the note").count() == 0


READY = {"": ".plot svg", "config": "table.settings", "doctor": ".findings", "files": "table.files", "log": "table.log"}


@pytest.mark.parametrize(
    ("width", "scheme", "tabs"), [(390, "dark", ("", "doctor", "log")), (1280, "light", ("config", "files"))]
)
def test_every_tab_fits_and_is_accessible(
    studio: Any, check_page: Any, width: int, scheme: str, tabs: tuple[str, ...]
) -> None:
    settings = {"viewport": {"width": width, "height": 800}, "color_scheme": scheme, "bypass_csp": True}
    shown = studio.enter("boss", "admin", **settings)
    for tab in tabs:
        shown.goto(f"{studio.address}/runs/one?tab={tab}")
        shown.locator(READY[tab]).first.wait_for()
        check_page(shown, tab or "overview")
    shown.goto(f"{studio.address}/runs?run=sweep%2Fs0&run=other&col=state,truth,note")
    shown.locator("[data-test=apart]").wait_for()
    shown.get_by_text("Columns", exact=True).click()
    check_page(shown, "beside")
