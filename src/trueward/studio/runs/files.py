"""Files in a run's directory, which may hold anything: regular files of a limited size, as plain values of a limited depth.

What is damaged is said in a line, so that it costs a page one row. A file that isn't there is no damage.
"""

from __future__ import annotations

import json
import math
import os
import stat
import tomllib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, BinaryIO

MB = 1 << 20
RECIPE, STAGES, TABLE, LOG = 1 * MB, 4 * MB, 64 * MB, 256 * MB  # the most that is read of a recipe, pipeline.json, ...
DEEPEST = 24  # tables within tables; a report has 7
Table = dict[str, Any]


class DamagedError(ValueError):
    """A file that isn't what its name says; the message is one line that names it."""


def opened(path: Path) -> BinaryIO:
    """A regular file, to read. `DamagedError` for a pipe, a device or a directory; `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DamagedError(f"{path.name}: not a regular file")
    return os.fdopen(descriptor, "rb")


def size(path: Path) -> int:
    """A regular file's bytes; 0 if it's not there. `DamagedError` for what is none."""
    try:
        with opened(path) as file:
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise DamagedError(f"{path.name}: {error.strerror}") from None


def read_json(path: Path, most: int = TABLE, keys: Collection[str] | None = None) -> Any:
    """The value in a JSON file, cleaned; None if there's no file. `DamagedError` in one line.

    keys: of a table, only these, for pages that need little of much.
    """

    def parse(raw: bytes) -> Any:
        value = json.loads(raw)
        if keys is None or not isinstance(value, dict):
            return value
        refuse_depth(value)
        return {key: inside for key, inside in value.items() if key in keys}

    return _read(path, most, parse, "JSON")


def read_toml(path: Path) -> Table:
    """The same of a recipe: {} if there's none."""
    return _read(path, RECIPE, lambda raw: tomllib.loads(raw.decode()), "TOML") or {}


def refuse_depth(value: Any, depth: int = DEEPEST) -> None:
    """`RecursionError` for what is nested deeper than `depth`; quicker than cleaning it."""
    level = [value]
    for _ in range(depth):
        inside = (each for one in level for each in (one.values() if isinstance(one, dict) else one))
        level = [each for each in inside if isinstance(each, dict | list)]
        if not level:
            return
    raise RecursionError


def _read(path: Path, most: int, parse: Callable[[bytes], Any], form: str) -> Any:
    try:
        with opened(path) as file:
            raw = file.read(most + 1)
    except FileNotFoundError:
        if os.path.lexists(path):
            raise DamagedError(f"{path.name}: a link to nothing") from None
        return None
    except OSError as error:
        raise DamagedError(f"{path.name}: {error.strerror}") from None
    if len(raw) > most:
        raise DamagedError(f"{path.name}: larger than {most // MB} MB")
    try:
        return clean(parse(raw))
    except RecursionError:
        raise DamagedError(f"{path.name}: nested too deeply") from None
    except ValueError:
        raise DamagedError(f"{path.name}: not {form}" if raw else f"{path.name}: empty") from None


def clean(value: Any, depth: int = DEEPEST) -> Any:
    """A value that every page can be sent: no NaN, infinity or huge number (None), no half of a character, dates as texts.

    `RecursionError` for what is nested deeper than `depth`.
    """
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, int):
        return value if abs(value) < 1 << 63 else None
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth == 0:
        raise RecursionError
    if isinstance(value, dict):
        return {text(str(key)): clean(inside, depth - 1) for key, inside in value.items()}
    if isinstance(value, list):
        return [clean(inside, depth - 1) for inside in value]
    return text(str(value))


def text(value: str) -> str:
    """A text that can be written in UTF-8: bytes of a name that are none, and halves of characters, as escapes."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def table(value: Any, key: str) -> Table:
    """A table within a table; {} for what is none."""
    inside = value.get(key) if isinstance(value, dict) else None
    return inside if isinstance(inside, dict) else {}


def number(value: Table, key: str) -> float | None:
    """A number in a table, or None."""
    inside = value.get(key)
    return inside if isinstance(inside, int | float) and not isinstance(inside, bool) else None


def word(value: Table, key: str) -> str | None:
    """A text in a table, or None."""
    inside = value.get(key)
    return inside if isinstance(inside, str) else None
