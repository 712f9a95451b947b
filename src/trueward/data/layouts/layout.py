"""What a layout is: how it's known, and the rows in trueward's forms that its rows stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from trueward.data import cells
from trueward.data.rows import Row


@dataclass(frozen=True)
class KnownLayout:
    """`is_one` knows a row of it; `convert` turns the file's rows into rows of a form."""

    is_one: Callable[[Row], bool]
    convert: Callable[[Iterable[Row]], Iterator[Row]]


def made(row: Row, values: Mapping[str, Any], read: Iterable[str]) -> Row:
    """A row of a form in the place of the file's, of which the columns `read` were read."""
    new = Row.of(row.where, values, row.number)
    new.ignored_keys = row.values.keys() - set(read)
    return new


def each(is_one: Callable[[Row], bool], to: Callable[[Row], Iterable[Row]]) -> KnownLayout:
    """A layout of which every row stands for itself."""

    def convert(rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            yield from to(row)

    return KnownLayout(is_one, convert)


def signed(row: Row, name: str) -> tuple[float | None, int | None]:
    """Of a preference from −3 (the first) to 3 (the second): who wins, and how strongly; no winner if nobody judged."""
    if not row.has(name):
        return None, None
    value = row.number_in(name, -3, 3)
    return (0.5 if value == 0 else float(value < 0)), (round(abs(value)) or None)


def numbered(row: Row, name: str, winners: Mapping[int, str]) -> str | None:
    """Who wins by a column of numbers, each of which stands for one; None if nobody judged, `ValueError` for another number."""
    if not row.has(name) or row.values[name] == "":
        return None
    number = row.number_in(name, min(winners), max(winners))
    if number not in winners:
        raise row.error(f"expected {' or '.join(map(str, winners))}, got {number:g}", name)
    return winners[int(number)]


def turn(role: str, content: Any) -> dict[str, Any]:
    """A message."""
    return {"role": role, "content": content}


def user(text: Any) -> Any:
    """A text as the user's message; anything else as it is."""
    return [turn("user", text)] if isinstance(text, str) and text.strip() else text


def is_dict(row: Row, name: str, *keys: str) -> bool:
    """Whether the field is an object with these keys."""
    value = row.values.get(name)
    return isinstance(value, dict) and set(keys) <= value.keys()


def dicts(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none if it's no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def present(value: Any) -> bool:
    """Whether there's a value at all."""
    return not cells.is_empty(value) and value not in ("", [])
