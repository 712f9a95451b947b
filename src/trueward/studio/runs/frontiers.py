"""Several finished runs on the frontier's chart: truth and proxy against the distance from SFT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trueward.evaluation import frontier
from trueward.evaluation.frontier import FrontierRun
from trueward.reporting import frontier_page
from trueward.studio.runs.library import Library, pipeline_stages


def summary(library: Library, names: Sequence[str]) -> dict[str, Any]:
    """The frontier's headline and notes. `ValueError` for runs without a report, or that share no axis."""
    table = _frontier(library, names)
    return {"headline": frontier_page.headline(table), "notes": table["notes"]}


def picture(library: Library, names: Sequence[str], narrow: bool) -> str:
    """The frontier's chart, as SVG."""
    return frontier_page.picture(_frontier(library, names), narrow)


def _frontier(library: Library, names: Sequence[str]) -> dict[str, Any]:
    return frontier.frontier([_run(library, name) for name in names])


def _run(library: Library, name: str) -> FrontierRun:
    path = library.path(name)
    try:
        report = json.loads((path / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ValueError(f"{name}: has no report yet") from None
    digests = {str(row.get("name")): str(row.get("digest")) for row in pipeline_stages(path)}
    return FrontierRun(path.name, report, digests)
