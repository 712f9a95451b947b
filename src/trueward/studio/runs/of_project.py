"""Which runs read a project of the studio, by their recipes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from trueward.studio.runs.library import Library

READERS = {
    "comparisons.source": ("studio:", "trained on its comparisons"),
    "data.demonstrations": ("studio:", "trained on its demonstrations"),
    "evaluation.truths": ("people:", "measured by its people"),
}
"""Settings that name a project: what stands before the name, and what the run does with it."""
SHOWN = ("name", "state", "verdict", "stage", "step", "steps", "truth", "touched")


def of_library(library: Library, project: str) -> list[dict[str, Any]]:
    """The runs that name the project: what the table of runs shows of them, `reads` and `source`; the newest first."""
    settings = {name: library.summary(path)[2]["settings"] for name, path in library.paths().items()}
    return rows(library.table(), settings, project)


def rows(table: Sequence[dict[str, Any]], settings: Mapping[str, dict[str, str]], project: str) -> list[dict[str, Any]]:
    """The same of a table; settings: of each run by name, as JSON by dotted name."""
    found = []
    for row in table:
        reads = {words: source for source, words in _readings(settings.get(row["name"], {}), project)}
        if reads:
            source = next(iter(reads.values()))
            found.append({key: row.get(key) for key in SHOWN} | {"reads": list(reads), "source": source})
    return sorted(found, key=lambda row: -float(row["touched"] or 0))


def _readings(settings: dict[str, str], project: str) -> list[tuple[str, str]]:
    out = []
    for key, (prefix, words) in READERS.items():
        value = json.loads(settings.get(key, "null"))
        named = value if isinstance(value, list) else [value]
        out += [(one, words) for one in named if isinstance(one, str) and _names(one, prefix, project)]
    return out


def _names(source: str, prefix: str, project: str) -> bool:
    """Whether a source is this project's, of whichever round or question.

    >>> _names("studio:helpful:honest@2", "studio:", "helpful"), _names("studio:helpful too", "studio:", "helpful")
    (True, False)
    """
    rest = source.removeprefix(prefix)
    return source.startswith(prefix) and rest.partition("@")[0].partition(":")[0] == project
