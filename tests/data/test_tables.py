"""CSV and Parquet as rows: cells that hold anything, and errors that name the line."""

from __future__ import annotations

import csv
import json
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trueward.data import comparisons, tables
from trueward.records import Comparison, Prompt, Response, response_id

HEADER = "prompt,response_a,response_b,winner\n"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "jsonl"])
@given(texts=st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_texts_come_back_as_they_were(ending: str, texts: list[tuple[str, str]]) -> None:
    rows = [{"first": one, "second": other, "probability": 0.1} for one, other in texts]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"t.{ending}"
        tables.write(path, rows)
        got = [row.values for row in tables.rows(path)]
    written = {"csv": "0.1", "tsv": "0.1"}.get(ending, 0.1)
    assert got == [row | {"probability": written} for row in rows]


@pytest.mark.parametrize(
    "text", ['"', ",", "\r", "\n", "\r\n", "a\r\nb\rc\n", "\0", "\u2028", "﻿x", "=1+1", "\t", " ", ""]
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_awkward_texts(text: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{ending}"
    tables.write(path, [{"first": text, "second": text + "!"}])
    assert [row.values for row in tables.rows(path)] == [{"first": text, "second": text + "!"}]


def test_a_line_is_where_its_row_begins(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEADER + '"a\nb",x,y,a\n\np,x,y,c\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r'^.*t\.csv, line 5: "winner": expected "a", .* or "both_bad", got "c"$'):
        comparisons.read(path)


ERRORS: dict[str, tuple[str | bytes, str]] = {
    "cells": (HEADER + "p,x,y\n", "t.csv, line 2: expected 4 cells, as many as the header has, got 3"),
    "twice": ("prompt,prompt\n", 't.csv, line 1: the header has the column "prompt" twice'),
    "quotes": (HEADER + '"p"q,x,y,a\n', "t.csv, line 2: not CSV: ',' expected after '\"'"),
    "no end": (HEADER + '"p,x,y,a\n', "t.csv, line 2: not CSV: unexpected end of data"),
    "bytes": (HEADER.encode() + b"p,\xff,y,a\n", "t.csv, line 2: expected UTF-8, got the byte 0xff"),
    "ranks": ('prompt,responses,ranks\np,"[""a"",""b""]","[1,2"\n', 't.csv, line 2: "ranks": expected a list as JSON'),
    "json": ("prompt,responses\np,x\n", 't.csv, line 2: "responses": expected a list as JSON'),
    "empty": ("", "t.csv: expected at least one row, got an empty file"),
    "header alone": (HEADER, "t.csv: expected at least one row, got an empty file"),
    "no winner": ("prompt,response_a,response_b\np,x,y\n", 't.csv, line 2: missing field "winner" (or "probability")'),
    "number": (
        "prompt,first,second,probability\np,x,y,much\n",
        't.csv, line 2: "probability": expected a number from 0 to 1, got "much"',
    ),
    "too high": (
        "prompt,first,second,probability\np,x,y,1.5\n",
        't.csv, line 2: "probability": expected a number from 0 to 1, got 1.5',
    ),
    "nan": (
        "prompt,first,second,probability\np,x,y,nan\n",
        't.csv, line 2: "probability": expected a number from 0 to 1, got nan',
    ),
    "strength": (
        HEADER.replace("\n", ",strength\n") + "p,x,y,a,1.5\n",
        't.csv, line 2: "strength": expected 1, 2 or 3, got 1.5',
    ),
    "no prompt": ("response_a,response_b,winner\nx,y,a\n", 't.csv, line 2: missing field "prompt"'),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_file_line_and_field(name: str, tmp_path: Path) -> None:
    content, message = ERRORS[name]
    path = tmp_path / "t.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError) as error:  # noqa: PT011
        comparisons.read(path)
    assert str(error.value) == str(tmp_path / message)


def test_a_file_that_is_no_parquet(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    path.write_text("x")
    with pytest.raises(ValueError, match=r"t\.parquet: can't be read as Parquet: "):
        comparisons.read(path)
    for missing in ("no.parquet", "no.csv"):
        with pytest.raises(ValueError, match=r"no such file$"):
            comparisons.read(tmp_path / missing)


def table(**cells: Any) -> dict[str, Any]:
    return {"prompt": "The sky is", "response_a": " blue.", "response_b": " green.", "winner": "a"} | cells


SKY = Prompt(text="The sky is")


def sky(probability: float, **further: Any) -> Comparison:
    first, second = (Response(id=response_id(SKY, text), text=text) for text in (" blue.", " green."))
    fields = {"prompt": SKY, "first": first, "second": second, "probability": probability, "source": "file:t.csv"}
    return Comparison(**(fields | further))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (table(), sky(1)),
        (table(winner="B"), sky(0)),
        (table(winner="Tie"), sky(0.5)),
        (table(winner="model_b"), sky(0)),
        (
            table(annotator="ann", strength=2, group="g", check="b"),
            sky(1, annotator="ann", strength=2, group="g", check="second"),
        ),
        (table(annotator="", winner="", probability=0.25), sky(0.25)),
        (table(source="studio"), sky(1, source="studio")),
    ],
)
def test_a_spreadsheet_of_judgements(row: dict[str, Any], expected: Comparison, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    tables.write(path, [row])
    assert comparisons.read(path).rows == [expected]


def test_conversations_in_cells(tmp_path: Path) -> None:
    user, blue = {"role": "user", "content": 'Say "sky",\nplease.'}, {"role": "assistant", "content": "Blue."}
    green = {"role": "assistant", "content": "Green."}
    path = tmp_path / "t.csv"
    rows: list[dict[str, Any]] = [{"prompt": [user], "chosen": [blue], "rejected": [green]}]
    tables.write(path, rows)
    (got,) = comparisons.read(path).rows
    assert got.prompt.messages[0].content == user["content"]
    assert (got.first.text, got.second.text) == ("Blue.", "Green.")
    arena = [{"conversation_a": [user, blue], "conversation_b": [user, green], "winner": "model_b"}]
    for name in ("arena.csv", "arena.parquet", "arena.jsonl"):
        tables.write(tmp_path / name, arena)
        (again,) = comparisons.read(tmp_path / name).rows
        assert (again.prompt, again.first, again.second) == (got.prompt, got.first, got.second)
        assert again.probability == 0


def test_a_prompt_that_only_looks_like_messages_is_text_in_our_own_table(tmp_path: Path) -> None:
    text = '[{"role": "user", "content": "x"}]'
    one = sky(1).model_copy(update={"prompt": Prompt(text=text), "source": "ann"})
    comparisons.write(tmp_path / "own.csv", [one], "csv")
    assert comparisons.read(tmp_path / "own.csv").rows == [one]
    assert comparisons.write(tmp_path / "t.csv", [one, sky(1)], "trl")["rows the format can't hold"] == 1


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    for name in ("t.csv", "t.parquet"):
        path = tmp_path / name
        path.write_text("before")
        with pytest.raises(ValueError, match="half of a surrogate pair"):
            tables.write(path, [{"first": "\ud800"}])
        assert path.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 2


def test_comparisons_in_one_json_array(tmp_path: Path) -> None:
    from trueward.data import comparisons

    path = tmp_path / "people.json"
    rows = [{"prompt": "p", "chosen": f"good {i}", "rejected": "bad"} for i in range(2)]
    path.write_text(json.dumps(rows), encoding="utf-8")
    assert [c.first.text for c in comparisons.read(path).rows] == ["good 0", "good 1"]
    path.write_text(json.dumps([*rows, {"prompt": "p", "chosen": "x"}]), encoding="utf-8")
    with pytest.raises(ValueError, match=r"people\.json, row 3: missing field \"rejected\""):
        comparisons.read(path)


RUN = ("=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "\r=1", " =1", "\u00a0=1", "\ufeff=1", "\u200b=1",
       "＝1", "＋1", "－1", "＠1", "﹦1",
       "'=1", "''=1", "'\n=1")  # fmt: skip


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_no_cell_is_run_by_a_sheet_and_none_is_lost(tmp_path: Path, ending: str) -> None:
    texts = [*RUN, "1+1", "a=b", "'quoted'", "'tis", "", "'", "—so", '"=1"', "5", "'-5"]
    rows = [{"prompt": text or "x", "first": f"{text}", "second": "b"} for text in texts]
    path = tmp_path / f"rows{ending}"
    tables.write(path, rows)
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file, delimiter=tables.SEPARATORS[ending]) for cell in row]
    for cell in cells:
        bare = "".join(c for c in cell if not c.isspace() and c.isprintable())
        assert unicodedata.normalize("NFKC", bare[:1]) not in tuple("=+-@"), cell
        assert cell[:1] not in ("\t", "\n", "\r")
    assert [row.values for row in tables.rows(path)] == rows
    assert all(tables.as_read("csv", row) == row for row in rows)
