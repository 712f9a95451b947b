"""Files gathered into one: what is kept, what is left out, and what is said of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from trueward.data import comparisons, importing

TRL = {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}
JUDGED = {"prompt": "The sky is", "response_a": " blue.", "response_b": " green.", "winner": "tie", "annotator": "ann"}


def save(path: Path, *rows: Any) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_several_files_become_one(tmp_path: Path) -> None:
    one, two = save(tmp_path / "a.jsonl", TRL, TRL), save(tmp_path / "b.jsonl", JUDGED, JUDGED)
    got = importing.gather([one, two])
    assert [c.probability for c in got.rows] == [1, 1, 0.5, 0.5]
    assert got.repeated == 2
    assert got.table() == {
        "comparisons": 4,
        "prompts": 1,
        "rankings": 0,
        "ties": 2,
        "check_pairs": 0,
        "annotators": 1,
        "repeated": 2,
        "left_out": {},
        "ignored_columns": {},
    }
    importing.save(tmp_path / "own.jsonl", got.rows)
    assert comparisons.read(tmp_path / "own.jsonl").rows == got.rows
    assert importing.gather([str(tmp_path / "own.jsonl")]).rows == got.rows


def test_ties_and_repeated_rows_are_left_out_if_told_to(tmp_path: Path) -> None:
    files = [
        save(tmp_path / "a.jsonl", TRL, TRL, TRL | {"rejected": " red."}),
        save(tmp_path / "b.jsonl", JUDGED, TRL | {"winner": "x"}),
    ]
    with pytest.raises(ValueError, match=r"b\.jsonl, line 2: expected a table's form as on line 1, got TRL's"):
        importing.gather(files)
    got = importing.gather([files[0], save(tmp_path / "b.jsonl", JUDGED)], ties=False, repeated=False)
    assert got.left_out == Counter({"tie": 1, "repeated": 1})
    assert len(got.rows) == 2
    with pytest.raises(ValueError, match=r"b\.jsonl: no row can be used \(tie 1\)"):
        importing.gather([str(tmp_path / "b.jsonl")], ties=False)


def test_the_format_can_be_given(tmp_path: Path) -> None:
    odd = save(tmp_path / "odd.txt", TRL)
    assert importing.gather([odd], "trl").rows == importing.gather([odd]).rows
    turns = {
        "prompt": "elsewhere",
        "chosen": "\n\nHuman: Hi\n\nAssistant: Ho",
        "rejected": "\n\nHuman: Hi\n\nAssistant: Hm",
    }
    path = save(tmp_path / "hh.jsonl", turns)
    with pytest.raises(
        ValueError, match=r'line 1: "prompt": "chosen" and "rejected" are dialogues .*--format hh leaves it'
    ):
        importing.gather([path])
    assert importing.gather([path], "trl").rows[0].prompt.text == "elsewhere"
    assert importing.gather([path], "hh").rows[0].prompt.messages[0].content == "Hi"
    (tmp_path / "csv.txt").write_text("prompt,chosen,rejected\np,x,y\n")
    assert importing.gather([str(tmp_path / "csv.txt")], "csv").rows[0].first.text == "x"
    for format, message in (
        ("xml", 'format: expected trl, trl-conversational, trl-implicit, hh, .*got "xml"'),
        ("hh", '"chosen": expected a dialogue of which the last turn is "Assistant:", got no turns'),
        ("own", 'missing field "first"'),
        ("rankings", 'missing field "responses"'),
        ("table", 'expected two responses, as "first" and "second"'),
    ):
        with pytest.raises(ValueError, match=message):
            importing.gather([odd], format)


def test_a_hugging_face_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "set"
    rows = [TRL | {"score": 1.0}, TRL | {"prompt": " ", "score": 2.0}, TRL | {"chosen": '天\n"…"', "score": None}]
    datasets.Dataset.from_list(rows).save_to_disk(str(folder))
    got = importing.gather([f"hf:{folder}"])
    assert [c.first.text for c in got.rows] == [" blue.", '天\n"…"']
    assert got.rows[0].source == f"hf:{folder}"
    assert got.left_out == Counter({"empty prompt": 1})
    assert got.ignored == Counter({"score": 2})
    with pytest.raises(ValueError, match="a Hugging Face data set is named owner/name"):
        importing.gather(["hf:nothing"])
