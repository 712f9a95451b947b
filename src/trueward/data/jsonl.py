"""JSONL: one JSON object a line, UTF-8, read with line numbers and written whole or not at all.

A `.json` file that is one array of objects is read too, by row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trueward.artifacts import replacing
from trueward.data import compressed

LONGEST_LINE = 8 << 20  # bytes, longer than any model's context

KINDS: dict[type, str] = {str: "a string", list: "a list", dict: "an object", int: "a number", float: "a number"}


def kind(value: object) -> str:
    """The kind of a JSON value, in words for an error message."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return KINDS.get(type(value), f"a {type(value).__name__}")


def read(path: Path | str, *, lenient: bool = False) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file, each with its line number from 1; blank lines are skipped. Of an array with its place in it.

    `ValueError` names file and line: no such file, a folder, not UTF-8, malformed JSON, NaN, half of a surrogate pair, not an
    object. lenient: NaN, infinity and such halves are values, and what they mean is the caller's to say. An empty file
    yields nothing; whether that's an error is the caller's to say.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: expected a JSONL file, got a folder")
    if not path.exists():
        raise ValueError(f"{path}: no such file")
    return _array(path, lenient) if is_array(path) else _objects(path, lenient)


def unit(path: Path | str) -> str:
    """What the numbers of `read` count: `line`, or `row` of an array."""
    return "row" if is_array(Path(path)) else "line"


def is_array(path: Path) -> bool:
    """Whether a file is one JSON array: it is called .json, and begins with a bracket."""
    if compressed.ending(path) != ".json" or not path.is_file():
        return False
    with compressed.opened(path) as file:
        while (head := file.read(1024)) and not head.strip(b"\xef\xbb\xbf \t\r\n"):
            pass
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")


def _array(path: Path, lenient: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    raw = compressed.read(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = raw.count(b"\n", 0, problem.start) + 1
        raise ValueError(f"{path}, line {line}: expected UTF-8, got the byte 0x{raw[problem.start]:02x}") from None
    try:
        json.loads(text)  # all of it is JSON, and the file ends with the array
    except json.JSONDecodeError as problem:
        raise ValueError(
            f"{path}, line {problem.lineno}: expected JSON: {problem.msg} (column {problem.colno})"
        ) from None
    except RecursionError:
        raise ValueError(f"{path}: expected JSON, got one that is nested too deep") from None
    number, at = 0, _after(text, text.index("[") + 1)
    decoder = json.JSONDecoder()
    while text[at] != "]":
        number += 1
        _, end = decoder.raw_decode(text, at)
        if end - at > LONGEST_LINE:
            raise ValueError(f"{path}, row {number}: expected at most {LONGEST_LINE >> 20} MiB, got a longer row")
        # read as a line is, so that the same mistakes give the same errors
        yield number, _object(text[at:end].encode("utf-8", "surrogatepass"), f"{path}, row {number}", lenient)
        at = _after(text, end)
        at = _after(text, at + 1) if text[at] == "," else at


def _after(text: str, at: int) -> int:
    while text[at] in " \t\r\n":
        at += 1
    return at


def _objects(path: Path, lenient: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    with compressed.opened(path) as lines:  # as bytes: only \n ends a line, and a wrong byte is found on its own line
        number = 0
        while raw := lines.readline(LONGEST_LINE + 1):
            number += 1
            if len(raw) > LONGEST_LINE:
                raise ValueError(f"{path}, line {number}: expected at most {LONGEST_LINE >> 20} MiB, got a longer line")
            if number == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            if raw.strip():
                yield number, _object(raw, f"{path}, line {number}", lenient)


class ConstantError(ValueError):
    """NaN or an infinity, which JSON doesn't have; the message is its name."""


def _refused(name: str) -> float:
    raise ConstantError(name)


STRICT, LENIENT = (
    json.JSONDecoder(parse_constant=_refused),
    json.JSONDecoder(),
)  # one for each line would take most of the time


def _object(raw: bytes, where: str, lenient: bool) -> dict[str, Any]:
    try:
        value = (LENIENT if lenient else STRICT).decode(raw.decode("utf-8"))
        if b"\\u" in raw and not lenient:
            json.dumps(value, ensure_ascii=False).encode()
    except ConstantError as problem:
        raise ValueError(f"{where}: expected JSON, got {problem}, which JSON does not have") from None
    except UnicodeDecodeError as problem:
        raise ValueError(f"{where}: expected UTF-8, got the byte 0x{raw[problem.start]:02x}") from None
    except UnicodeEncodeError:
        raise ValueError(f"{where}: expected Unicode text, got half of a surrogate pair") from None
    except json.JSONDecodeError as problem:
        raise ValueError(f"{where}: expected a JSON object: {problem.msg} (column {problem.colno})") from None
    except RecursionError:
        raise ValueError(f"{where}: expected a JSON object, got one that is nested too deep") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a JSON object, got {kind(value)}")
    return value


def write(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes one object a line: to a temporary file in the same folder, flushed to disk, then renamed.

    If a row can't be written (`ValueError`: NaN, infinity, half of a surrogate pair) or `rows` itself raises, the
    temporary file is removed and what was at `path` stays as it was.
    """
    path = Path(path)
    if path.is_dir():
        raise ValueError(f"{path}: expected a file to write, got a folder")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: no such folder: {path.parent}")
    with replacing(path) as temporary, temporary.open("xb") as file:
        for number, row in enumerate(rows, 1):
            file.write(_line(row, f"{path}, line {number}"))


def _line(row: Mapping[str, Any], where: str) -> bytes:
    try:
        return json.dumps(dict(row), ensure_ascii=False, allow_nan=False).encode() + b"\n"
    except UnicodeEncodeError:
        raise ValueError(f"{where}: expected Unicode text, got half of a surrogate pair") from None
    except ValueError as problem:
        raise ValueError(f"{where}: can't be written as JSON: {problem}") from None
