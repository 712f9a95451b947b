"""The report's page in a real browser: it asks for nothing, complains of nothing, and fits a phone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trueward.artifacts import read_json
from trueward.instruments import report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = "<img src=x onerror=document.title='owned'> \u202e<script>document.title='owned'</script>"
# a browser that is told to stay quiet: none of its own look-ups
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("no Chromium in CI: scripts/find_browser.sh should have installed one")
        pytest.skip("no Chromium here; install one to test the page in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(QUIET))
        yield browser
        browser.close()


@pytest.fixture
def page_file(baseline: Path, tmp_path: Path) -> Path:
    """A small run's report, with an answer in it that would like to do harm."""
    table = read_json(baseline / "report.json")
    table["samples"][0]["answers"]["policy"]["response"] = HOSTILE
    path = tmp_path / "report.html"
    path.write_text(report.page(table), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_the_page(browser: Any, page_file: Path, width: int, scheme: str) -> None:
    asked: list[str] = []
    said: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(page_file.as_uri())
    page.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    assert asked == [page_file.as_uri()]
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.title() != "owned"
    assert page.locator("img, script").count() == 0
    assert HOSTILE.split(">")[0] in page.inner_text("body")
    assert page.locator("svg[role=img]").count() >= 5
    page.close()
