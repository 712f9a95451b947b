"""The line of a page that says which commit its figure is of, and tables put in the place of those that stand there."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LINE = re.compile(
    r"^<!-- figure: (?P<name>[\w-]+) -->\n"
    r"`make figures ONLY=(?P=name)` makes this anew; what stands here is of commit (?P<commit>[0-9a-f]{7,40}), "
    r"(?P<day>\d{4}-\d\d-\d\d)\.$",
    re.MULTILINE,
)


@dataclass(frozen=True)
class Made:
    """Of which commit a figure is, and that commit's day."""

    commit: str
    day: str


def line(name: str, made: Made) -> str:
    """What a page says of a figure, a comment that finds it before."""
    said = f"`make figures ONLY={name}` makes this anew; what stands here is of commit {made.commit}, {made.day}."
    return f"<!-- figure: {name} -->\n{said}"


def made(page: str) -> dict[str, Made]:
    """What a page says of each of its figures."""
    return {found["name"]: Made(found["commit"], found["day"]) for found in LINE.finditer(page)}


def stamped(page: str, name: str, of: Made) -> str:
    """The page with another commit for this figure. `ValueError` where it has no line for it."""
    if name not in made(page):
        raise ValueError(f"the page has no line for the figure {name}")
    return LINE.sub(lambda found: line(name, of) if found["name"] == name else found[0], page)


def tables(text: str) -> list[list[str]]:
    """The Markdown tables of a text, in order, as their lines."""
    found: list[list[str]] = []
    before = ""
    for row in text.splitlines():
        if row.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append(row)
        before = row
    return [table for table in found if len(table) > 1 and re.fullmatch(r"\|[-: |]+\|", table[1])]


def spliced(page: str, printed: str, heading: str = "") -> tuple[str, list[str]]:
    """The page with every printed table in the place of the one of the same head, and the heads that it has not.

    heading: a whole line of the page; only what stands below it, up to the next heading of its level, is looked at.
    """
    rows = page.splitlines()
    first, last = _section(rows, heading)
    missing = []
    for table in tables(printed):
        at = next((i for i in range(first, last) if _head(rows[i]) == _head(table[0])), None)
        if at is None:
            missing.append(table[0])
            continue
        end = at
        while end < last and rows[end].startswith("|"):
            end += 1
        rows[at:end] = table
        last += len(table) - (end - at)
    return "\n".join(rows) + "\n", missing


def _section(rows: Sequence[str], heading: str) -> tuple[int, int]:
    if not heading:
        return 0, len(rows)
    if heading not in rows:
        raise ValueError(f"the page has no heading {heading!r}")
    first = rows.index(heading)
    level = len(heading) - len(heading.lstrip("#"))
    ends = (i for i in range(first + 1, len(rows)) if re.match(rf"#{{1,{level}}} ", rows[i]))
    return first, next(ends, len(rows))


def _head(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")] if row.startswith("|") else []
