"""Thumbs up and down are kept as what they are, and never become pairs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward.data import feedback, loading

THUMB = {"prompt": "Say hi", "completion": "Hello!", "label": True}


def save(folder: Path, *rows: Any) -> Path:
    path = folder / "people.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "liked"),
    [
        (THUMB, True),
        (THUMB | {"label": 0}, False),
        ({"question": "Hi?", "response": "Go.", "thumb": "down", "annotator": "ann"}, False),
        ({"instruction": "Hi", "output": "Ho", "liked": "UP"}, True),
        (
            {
                "prompt": [{"role": "user", "content": "Hi"}],
                "completion": [{"role": "assistant", "content": "Ho"}],
                "label": -1,
            },
            False,
        ),
    ],
)
def test_thumbs(row: dict[str, Any], liked: bool, tmp_path: Path) -> None:
    path = str(save(tmp_path, row))
    assert feedback.is_feedback(path)
    (got,) = feedback.read(path).rows
    assert got.liked == liked
    assert got.annotator == row.get("annotator")
    feedback.save(tmp_path / "again.jsonl", [got])
    assert feedback.read(str(tmp_path / "again.jsonl")).rows == [got]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "p", "chosen": "x", "rejected": "y", "label": 1},
        {"prompt": "p", "completion": "x"},
        {"prompt": "p", "response": "x", "label": "reddit"},
        {"completion": "x", "label": True},
    ],
)
def test_what_is_no_thumb(row: dict[str, Any], tmp_path: Path) -> None:
    assert not feedback.is_feedback(str(save(tmp_path, row)))


def test_import_keeps_them_and_says_what_can_use_them(
    tmp_path: Path, command: Callable[..., tuple[int, str, str]]
) -> None:
    down, none = THUMB | {"completion": "Go.", "label": False}, THUMB | {"label": None}
    save(tmp_path, THUMB, down, down | {"completion": None}, none, THUMB)
    code, out, err = command("comparisons", "import", "people.jsonl")
    assert (code, err) == (0, "")
    assert "3 answers judged alone, 2 up and 1 down, in people.feedback.jsonl" in out
    assert 'demonstrations = "people.feedback.jsonl"' in out
    loaded = loading.demonstrations(str(tmp_path / "people.feedback.jsonl"))
    assert [row.response for row in loaded.rows] == ["Hello!"]
    assert loaded.left_out == Counter({"label is false": 1, "repeated": 1})
    code, out, _ = command("comparisons", "import", "people.jsonl", "--json", "--force")
    assert json.loads(out) == {
        "file": "people.feedback.jsonl",
        "feedback": 3,
        "up": 2,
        "down": 1,
        "left_out": {"empty response": 1, "not judged": 1},
    }


def test_another_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"line 2: expected one answer \(completion, .*\) and a thumb"):
        feedback.read(str(save(tmp_path, THUMB, {"prompt": "p", "completion": "x"})))
