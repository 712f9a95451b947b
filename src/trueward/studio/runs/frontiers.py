"""Several finished runs on the frontier's chart: truth and proxy against the distance from SFT."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trueward.evaluation import frontier
from trueward.evaluation.frontier import FrontierRun
from trueward.reporting import frontier_page
from trueward.studio.runs import files
from trueward.studio.runs.contents import Contents
from trueward.studio.runs.library import Library


def summary(library: Library, names: Sequence[str]) -> dict[str, Any]:
    """The frontier's headline and notes. `ValueError` for runs without a report, or that share no axis."""
    table = _frontier(library, names)
    return {"headline": frontier_page.headline(table), "notes": table["notes"]}


def picture(library: Library, names: Sequence[str], narrow: bool) -> str:
    """The frontier's chart, as SVG."""
    return frontier_page.picture(_frontier(library, names), narrow)


def _frontier(library: Library, names: Sequence[str]) -> dict[str, Any]:
    runs = [_run(library, name) for name in names]
    try:
        return frontier.frontier(runs)
    except (KeyError, TypeError, AttributeError, IndexError):
        raise ValueError("one of these runs has a damaged report: fields are missing or of another kind") from None


def _run(library: Library, name: str) -> FrontierRun:
    contents = Contents(library.path(name))
    report = contents.report()
    if not report:
        raise ValueError(f"{name}: {contents.damage() or 'has no report yet'}")
    digests = {str(row.get("name")): str(row.get("digest")) for row in contents.stages()}
    return FrontierRun(files.text(contents.path.name), report, digests)
