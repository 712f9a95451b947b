"""All known layouts by name, and which one a file's first row has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from trueward.data import cells
from trueward.data.layouts.exports import EXPORTS
from trueward.data.layouts.layout import KnownLayout
from trueward.data.layouts.lists import LISTS
from trueward.data.layouts.pairs import PAIRS
from trueward.data.rows import DEEP, Row

LAYOUTS: dict[str, KnownLayout] = {**PAIRS, **LISTS, **EXPORTS}


def converted(rows: Iterable[Row], name: str, detect: bool) -> Iterator[Row]:
    """The rows in trueward's forms: of the layout `name`, else of the one that the first row is known by, if `detect`."""
    source = iter(rows)
    if not name and detect:
        first = next(source, None)
        if first is None:
            return
        plain = not any(map(cells.is_too_deep, first.values.values()))
        name = next((n for n, layout in LAYOUTS.items() if plain and layout.is_one(first)), "")
        source = chain([first], source)
    if not name:
        yield from source
        return
    layout = LAYOUTS[name]
    yield from layout.convert(_checked(source, name, layout))


def _checked(rows: Iterable[Row], name: str, layout: KnownLayout) -> Iterator[Row]:
    for row in rows:
        if any(map(cells.is_too_deep, row.values.values())):
            raise row.error(f"expected a row of the layout {name}, got one {DEEP}")
        if not layout.is_one(row):
            raise row.error(f"expected a row of the layout {name}, as the first one is; --format gives another form")
        yield row
