"""The frontier's page in a real browser: it asks for nothing, complains of nothing, fits a phone, and can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from trueward.cli import terminal
from trueward.evaluation.frontier import frontier
from trueward.reporting import frontier_page


@pytest.fixture(scope="module")
def page_file(baseline: Path, climb: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run beside three others from the same SFT policy."""
    for kind in ("dpo", "best_of_n"):
        climb(baseline.parent, f"frontier {kind}", f"policy.kind={kind}")
    climb(baseline.parent, "frontier free", "policy.kl_coef=0")
    runs = [baseline, *(baseline.parent / f"frontier {name}" for name in ("dpo", "best_of_n", "free"))]
    path = tmp_path_factory.mktemp("frontier") / "frontier.html"
    path.write_text(frontier_page.page(frontier([terminal.finished(str(run)) for run in runs])), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_the_page(open_quietly: Any, page_file: Path, width: int, scheme: str) -> None:
    page = open_quietly(page_file, width=width, scheme=scheme)
    assert page.locator("img, script").count() == 0
    shown = page.locator("svg[role=img]:visible")
    assert shown.count() == 1 + 4  # one of the two widths, and each run alone
    box = shown.first.bounding_box()
    # names that can be seen whole, one for each run and SFT
    names = shown.first.locator("text.name").all()
    assert len(names) == 5
    for name in names:
        place = name.bounding_box()
        assert box["x"] - 1 <= place["x"]
        assert place["x"] + place["width"] <= box["x"] + box["width"] + 1
    # a run's colour in the plot is that of its mark in the table
    colours = {
        page.evaluate("e => getComputedStyle(e).color", row)
        for row in page.locator("tbody .key .mark").element_handles()
    }
    assert len(colours) == 5
    assert {page.evaluate("e => getComputedStyle(e).fill", name.element_handle()) for name in names} == colours
