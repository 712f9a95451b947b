"""Several finished runs on the frontier's picture: truth and proxy against the distance from SFT."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from trueward.instruments import frontier, frontier_page
from trueward.instruments.frontier import Run
from trueward.studio.runs.library import Library, ladder


def told(library: Library, names: Sequence[str]) -> dict[str, Any]:
    """The frontier's headline and notes. `ValueError` for runs without a report, or that share no axis."""
    found = _frontier(library, names)
    return {"headline": frontier_page.headline(found), "notes": found["notes"]}


def picture(library: Library, names: Sequence[str], narrow: bool) -> str:
    """Its picture, as SVG."""
    return frontier_page.picture(_frontier(library, names), narrow)


def _frontier(library: Library, names: Sequence[str]) -> dict[str, Any]:
    return frontier.frontier([_run(library, name) for name in names])


def _run(library: Library, name: str) -> Run:
    path = library.path(name)
    try:
        report = json.loads((path / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise ValueError(f"{name}: has no report yet") from None
    digests = {str(row.get("name")): str(row.get("digest")) for row in ladder(path)}
    return Run(path.name, report, digests)
