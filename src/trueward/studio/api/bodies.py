"""Bodies of requests: JSON of plain values that every database and every page can take. Anything else is a `ValueError`."""

from __future__ import annotations

import re
from json.decoder import scanstring  # type: ignore[attr-defined]  # the types leave it out
from typing import Any

from pydantic_core import from_json

SPACE = re.compile(r"[ \t\r\n]*")
SCALAR = re.compile(r"(-?[0-9]{1,18}|true|false|null)(?=[ \t\r\n,}])")
WORDS = {"true": True, "false": False, "null": None}
MOST_FIELDS = 20
NUL = "a NUL character"


def plain(raw: bytes) -> Any:
    """Any JSON value, at most 200 deep; its numbers may be infinite, which the fields refuse."""
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"expected JSON: {error}") from None
    if _has_nul(value):
        raise ValueError(NUL)
    return value


def flat(raw: bytes) -> dict[str, Any]:
    """An object of texts, whole numbers and words, of any size.

    Nothing is in it but its few fields, so that 64 MB of brackets cost no memory and no time.
    """
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"expected UTF-8, got the byte 0x{raw[error.start]:02x}") from None
    fields: dict[str, Any] = {}
    at = _skip(text, _expect(text, _skip(text, 0), "{"))
    while text[at : at + 1] != "}":
        if fields:
            at = _skip(text, _expect(text, at, ","))
        if len(fields) == MOST_FIELDS:
            raise ValueError(f"expected at most {MOST_FIELDS} fields")
        key, at = _string(text, at)
        at = _skip(text, _expect(text, _skip(text, at), ":"))
        if key in fields:
            raise ValueError(f"{key[:40]} is there twice")
        if text[at : at + 1] == '"':
            fields[key], at = _string(text, at)
        elif match := SCALAR.match(text, at):
            fields[key] = WORDS[match[1]] if match[1] in WORDS else int(match[1])
            at = match.end()
        else:
            raise ValueError(f"{key[:40]}: expected a text, a whole number, true, false or null (character {at})")
        at = _skip(text, at)
    if _skip(text, at + 1) != len(text):
        raise ValueError("expected nothing behind the object")
    return fields


def _string(text: str, at: int) -> tuple[str, int]:
    start = _expect(text, at, '"')
    value, end = scanstring(text, start, True)  # a JSONDecodeError is a ValueError of one line
    if "\0" in value:
        raise ValueError(NUL)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("half of a surrogate pair") from None
    return value, end


def _expect(text: str, at: int, sign: str) -> int:
    if text[at : at + 1] != sign:
        raise ValueError(f"expected {sign} (character {at})")
    return at + 1


def _skip(text: str, at: int) -> int:
    match = SPACE.match(text, at)
    return match.end() if match else at


def _has_nul(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any("\0" in key or _has_nul(inside) for key, inside in value.items())
    return isinstance(value, list) and any(_has_nul(inside) for inside in value)
