"""A scorer with its options, as it is named on a command line: `NAME,key=value,…`, or a TOML or JSON file."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FILES = (".toml", ".json")


@dataclass(frozen=True)
class ScorerSpec:
    """The name of a scorer, such as `verifier:constraints`, `judge` or `module:function`, and its options."""

    name: str
    options: dict[str, Any] = field(default_factory=dict)


def parse(text: str, where: str = "--scorer") -> ScorerSpec:
    """The scorer that a text names. `ValueError` in one line; where: what errors call the text.

    A value is read as TOML (`max_words=12`, `contains=["a", "b"]`), else as plain text (`model=qwen`); one with a comma of its
    own is quoted. A file has the key `scorer`, and the options beside it or in a table `options`. A reward model takes none,
    and a run's directory may have commas in its name, so all of `model:DIRECTORY` is the name.
    """
    if text.startswith("model:"):
        return ScorerSpec(text)
    if Path(text).suffix in FILES and Path(text).is_file():
        return _from_file(Path(text), where)
    first, *rest = _parts(text)
    name = first.strip()
    if Path(name).suffix in FILES and "=" not in name:
        spec = _from_file(Path(name), where)
        return ScorerSpec(spec.name, {**spec.options, **_options(rest, text, where)})
    if not name or "=" in name:
        raise ValueError(f"{where} {text}: expected a scorer's name first, as in verifier:constraints,max_words=12")
    return ScorerSpec(name, _options(rest, text, where))


def _options(parts: list[str], text: str, where: str) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for part in parts:
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not key:
            raise ValueError(f"{where} {text}: expected key=value after each comma, got {part.strip()!r}")
        if key in options:
            raise ValueError(f"{where} {text}: {key} is given twice")
        options[key] = _value(value)
    return options


def _value(text: str) -> Any:
    """As TOML; what isn't TOML is taken as the text that it is."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return table["value"] if list(table) == ["value"] else text


def _parts(text: str) -> Iterator[str]:
    """The text between commas that stand in no quotes and no brackets."""
    part, depth, quote, escaped = "", 0, "", False
    for mark in text:
        if quote:
            quote = "" if mark == quote and not escaped else quote
            escaped = quote == '"' and mark == "\\" and not escaped
        elif mark in "\"'" and (depth or part.rstrip().endswith("=")):  # an apostrophe within a text is none
            quote = mark
        elif mark in "[{":
            depth += 1
        elif mark in "]}":
            depth -= 1
        elif mark == "," and depth <= 0:
            yield part
            part = ""
            continue
        part += mark
    yield part


def _from_file(path: Path, where: str) -> ScorerSpec:
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except OSError as error:
        raise ValueError(f"{where} {path}: {error.strerror or 'can not be read'}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where} {path}: not a {path.suffix[1:].upper()} file: {error}") from None
    name = table.get("scorer") if isinstance(table, dict) else None
    if not isinstance(name, str) or not name:
        raise ValueError(f'{where} {path}: expected a key scorer, as in scorer = "verifier:constraints"')
    beside = {key: value for key, value in table.items() if key not in ("scorer", "options")}
    inside = table.get("options", {})
    if not isinstance(inside, dict):
        raise ValueError(f"{where} {path}: options: expected a table, got {inside!r}")
    return ScorerSpec(name, {**inside, **beside})
