"""The sweep's page in a real browser: it asks for nothing, complains of nothing, and fits a phone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trueward.evaluation import sweep
from trueward.reporting import sweep_page


@pytest.fixture(scope="module")
def page_file(baseline: Path, climb: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run beside one that is held tightly."""
    climb(baseline.parent, "sweep tight", "policy.kl_coef=30")
    runs = [(0.1, baseline), (30.0, baseline.parent / "sweep tight")]
    rows = [sweep.row(value, 0, run.name, json.loads((run / "report.json").read_text())) for value, run in runs]
    points = sweep.points(rows)
    advice = sweep.advise(points)
    assert advice is not None
    found = {
        "recipe": "tiny",
        "over": "policy.kl_coef",
        "command": "trueward sweep tiny",
        "advice": advice.table(),
        "sentence": sweep.sentence("policy.kl_coef", advice),
        "points": [p.table() for p in points],
        "forms": {name: form.table() for name, form in sweep.forms(rows).items()},
        "runs": rows,
    }
    path = tmp_path_factory.mktemp("sweep") / "sweep.html"
    path.write_text(sweep_page.page(found), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1200])
def test_the_page(open_quietly: Any, page_file: Path, width: int, scheme: str) -> None:
    page = open_quietly(page_file, width=width, scheme=scheme)
    assert page.locator("svg[role=img]:visible").count() == 2
    assert page.locator("h1").inner_text() == "Sweep: tiny over policy.kl_coef"
    values = page.locator("table").first.locator("tbody th").all_inner_texts()
    assert values == ["0.1", "30"]
    assert page.locator("table").first.locator("tbody td:last-child:visible").count() == 2
