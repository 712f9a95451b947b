"""JSONL files: read with line numbers, refused with one clear line, written whole or not at all."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from trueward.data import jsonl

BROKEN: dict[str, tuple[bytes, str]] = {
    "latin-1": ('\n{"prompt": "é"}'.encode("latin-1"), ", line 2: expected UTF-8, got the byte 0xe9"),
    "half an object": (b'{"prompt": ', ", line 1: expected a JSON object: Expecting value (column 12)"),
    "a list": (b"[1]\n", ", line 1: expected a JSON object, got a list"),
    "a number": (b"3\n", ", line 1: expected a JSON object, got a number"),
    "null": (b"null\n", ", line 1: expected a JSON object, got null"),
    "nan": (b'{"margin": NaN}\n', ", line 1: expected JSON, got NaN, which JSON does not have"),
    "surrogate": (b'{"prompt": "\\ud800"}\n', ", line 1: expected Unicode text, got half of a surrogate pair"),
    "deep": (b'{"a":' + b"[" * 200_000, ", line 1: expected a JSON object, got one that is nested too deep"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(name: str, tmp_path: Path) -> None:
    content, message = BROKEN[name]
    path = tmp_path / "people.jsonl"
    path.write_bytes(content)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        list(jsonl.read(path))
    assert str(error.value) == f"{path}{message}"


def test_no_such_file_and_a_folder(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "a.jsonl", "no such file"), (tmp_path, "expected a JSONL file, got a folder")):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            list(jsonl.read(path))
        assert str(error.value) == f"{path}: {message}"


def test_line_numbers_count_blank_lines_and_an_empty_file_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\n{"a": "\xe2\x80\xa8"}\n \n{"b": 1}')
    assert list(jsonl.read(path)) == [(2, {"a": "\u2028"}), (4, {"b": 1})]
    path.write_bytes(b"")
    assert list(jsonl.read(path)) == []


def test_a_byte_order_mark_blank_lines_and_windows_line_ends_are_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "people.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode() + b"\r\n\r\n")
    assert list(jsonl.read(path)) == [(1, {"a": 1})]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (float("nan"), ", line 2: can't be written as JSON: Out of range float values are not JSON compliant"),
        ("\ud800", ", line 2: expected Unicode text, got half of a surrogate pair"),
    ],
)
def test_a_failed_write_leaves_what_was_there(value: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    jsonl.write(path, [{"é": "\n"}])
    assert path.read_bytes() == b'{"\xc3\xa9": "\\n"}\n'
    with pytest.raises(ValueError) as error:  # noqa: PT011
        jsonl.write(path, [{"a": 1}, {"a": value}])
    assert str(error.value).removesuffix(": nan") == f"{path}{message}"
    assert path.read_bytes() == b'{"\xc3\xa9": "\\n"}\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_rows_that_raise_leave_nothing(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, int]]:
        yield {"a": 1}
        raise KeyError("b")

    with pytest.raises(KeyError):
        jsonl.write(tmp_path / "a.jsonl", rows())
    assert not list(tmp_path.iterdir())


ARRAYS = {
    "[]": [],
    '\ufeff [{"a": 1},\n {"b": [1, {"c": "]"}]} ] \n': [(1, {"a": 1}), (2, {"b": [1, {"c": "]"}]})],
    '[{"a": "\\ud83d\\ude00"}]': [(1, {"a": "\U0001f600"})],
}
WRONG_ARRAYS = {
    '[{"a": 1}, "b"]': "row 2: expected a JSON object, got a string",
    '[{"a": 1},\n {"a": NaN}]': "row 2: expected JSON, got NaN, which JSON does not have",
    '[{"a": 1},\n {"a": }]': "line 2: expected JSON: Expecting value (column 8)",
    '[{"a": 1}': "line 1: expected JSON: ",
    '[{"a": 1}] {"b": 2}': "line 1: expected JSON: Extra data (column 12)",
    '[{"a": "\\ud83d"}]': "row 1: expected Unicode text, got half of a surrogate pair",
}


@pytest.mark.parametrize("text", ARRAYS)
def test_an_array(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text, encoding="utf-8")
    assert list(jsonl.read(path)) == ARRAYS[text]
    assert jsonl.unit(path) == "row"


@pytest.mark.parametrize("text", WRONG_ARRAYS)
def test_an_array_that_is_wrong(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=re.escape(f"{path}, {WRONG_ARRAYS[text]}")):
        list(jsonl.read(path))


def test_objects_in_a_json_file_are_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert list(jsonl.read(path)) == [(1, {"a": 1}), (2, {"a": 2})]
    assert jsonl.unit(path) == jsonl.unit(tmp_path / "rows.jsonl") == "line"
