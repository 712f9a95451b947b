"""The report's page in a real browser: it asks for nothing, complains of nothing, and fits a phone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trueward.artifacts import read_json
from trueward.reporting import report

HOSTILE = "<img src=x onerror=document.title='owned'> \u202e<script>document.title='owned'</script>"


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
def test_the_page(open_quietly: Any, page_file: Path, width: int, scheme: str) -> None:
    page = open_quietly(page_file, width=width, scheme=scheme)
    page.eval_on_selector_all("details", "all => all.forEach(d => d.open = true)")
    assert page.title() != "owned"
    assert page.locator("img, script").count() == 0
    assert HOSTILE.split(">")[0] in page.inner_text("body")
    assert page.locator("svg[role=img]").count() >= 5
