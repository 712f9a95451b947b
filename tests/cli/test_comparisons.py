"""`trueward comparisons import | agree | export` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from trueward.data import comparisons

Command = Callable[..., tuple[int, str, str]]
CSV = """prompt,response_a,response_b,winner,annotator,check,why
The sky is, blue., green.,a,ann,a,x
The sky is, blue., green.,b,ben,,
Grass is, green.," ""red""
I think.",a,ann,,
Grass is, green.," ""red""
I think.",tie,ben,,
Grass is, green., green.,tie,ben,,
"""


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text(CSV, encoding="utf-8")
    return tmp_path


def test_import_says_what_it_took_and_what_it_left_out(people: Path, command: Command) -> None:
    code, out, err = command("comparisons", "import", "people.csv")
    assert (code, err) == (0, "")
    assert "4 comparisons of 2 prompts, 1 tie, 1 check pair, 2 annotators, in people.comparisons.jsonl" in out
    assert "identical responses     1" in out
    assert "why                          1" in out
    assert 'path = "people.comparisons.jsonl"' in out
    assert len(comparisons.read("people.comparisons.jsonl").rows) == 4


def test_import_as_json_without_ties(people: Path, command: Command) -> None:
    code, out, _ = command("comparisons", "import", "people.csv", "--no-ties", "--out", "own.jsonl", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["file"], found["comparisons"]) == ("own.jsonl", 3)
    assert found["left_out"] == {"identical responses": 1, "tie": 1}


BAD = {
    "no file": (("import",), "comparisons import: expected a file, or --dataset NAME"),
    "missing": (("import", "no.csv"), "no.csv: no such file"),
    "wrong line": (
        ("import", "wrong.csv"),
        'wrong.csv, line 2: "winner": expected "a", "first", "model_a", "response_a", "b", "second", "model_b", '
        '"response_b", "tie", "tie (bothbad)" or "both_bad", got "c"',
    ),
    "there already": (
        ("import", "people.csv", "--out", "there.jsonl"),
        "there.jsonl: is there already; give another --out, or --force to replace it",
    ),
    "itself": (
        ("import", "people.csv", "--out", "people.csv", "--force"),
        "people.csv: is read from, so it can't be written to; give another --out",
    ),
    "format": (
        ("export", "people.csv", "--format", "xml"),
        '--format: expected jsonl, trl, trl-conversational, trl-implicit, hh, rankings, csv or parquet, got "xml"',
    ),
    "tie as a check": (
        ("agree", "people.csv", "--checks", "people.csv"),
        "people.csv: a check pair has a winner, and the one to 'Grass is' is a tie",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_line_and_leaves_nothing(name: str, people: Path, command: Command) -> None:
    Path("wrong.csv").write_text("prompt,response_a,response_b,winner\np,x,y,c\n")
    Path("there.jsonl").write_text("mine")
    arguments, message = BAD[name]
    before = sorted(people.iterdir())
    code, out, err = command("comparisons", *arguments)
    assert (code, out, err) == (2, "", f"trueward: {message}\n")
    assert sorted(people.iterdir()) == before
    assert Path("there.jsonl").read_text() == "mine"


def test_agree(people: Path, command: Command) -> None:
    code, out, err = command("comparisons", "agree", "people.csv")
    assert (code, err) == (0, "")
    assert "kappa of about .45" in out
    assert "4 votes on 2 pairs of 2 prompts." in out
    code, out, _ = command("comparisons", "agree", "people.csv", "--json")
    found = json.loads(out)
    assert (found["agreement"], found["contradictions"]["between_annotators"]) == (0.0, 1)
    assert found["check_pairs"]["votes"] == 2


@pytest.mark.parametrize(
    "form", ["trl", "trl-conversational", "trl-implicit", "hh", "rankings", "csv", "parquet", "jsonl"]
)
def test_export_every_format_and_import_it_again(form: str, people: Path, command: Command) -> None:
    code, out, err = command(
        "comparisons",
        "export",
        "people.csv",
        "--format",
        form,
        "--out",
        "out." + {"csv": "csv", "parquet": "parquet"}.get(form, "jsonl"),
    )
    assert (code, err) == (0, "")
    (written,) = people.glob("out.*")
    lossless = form in ("csv", "parquet", "jsonl")
    assert ("Reading it gives back all that was there." in out) == lossless
    was, now = comparisons.read("people.csv").rows, comparisons.read(written).rows
    if lossless:
        assert now == was
    elif form == "rankings":
        assert "check pairs" in out
        assert [c.probability for c in now] == [c.probability for c in was]
    else:
        assert "3 of 4 comparisons" in out
        assert "ties" in out
        assert "annotators" in out
        assert [(str(c.prompt).split()[-2:], c.first.text.strip()) for c in now] == [
            (["sky", "is"], "blue."),
            (["sky", "is"], "green."),
            (["Grass", "is"], "green."),
        ]


def test_extra_columns_carry_votes_agreement_and_margin(people: Path, command: Command) -> None:
    command("comparisons", "export", "people.csv", "--format", "trl", "--out", "t.jsonl")
    rows = [json.loads(line) for line in Path("t.jsonl").read_text().splitlines()]
    assert [(row["votes"], row["agreement"]) for row in rows] == [(2, 0.5), (2, 0.5), (2, 0.75)]
    assert "margin" not in rows[0]
    Path("strong.csv").write_text(
        CSV.replace("check,why", "strength,why").replace(",a,x", ",3,x").replace(",,\n", ",1,\n")
    )
    code, out, err = command("comparisons", "export", "strong.csv", "--format", "trl", "--out", "s.parquet", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["lost"]["strengths"] == 3
    import pyarrow.parquet

    table = pyarrow.parquet.read_table("s.parquet").to_pylist()
    assert [row["margin"] for row in table] == [3.0, 1.0, 1.0]
    command("comparisons", "export", "people.csv", "--format", "trl", "--out", "plain.jsonl", "--no-extra")
    assert set(json.loads(Path("plain.jsonl").read_text().splitlines()[0])) == {"prompt", "chosen", "rejected"}
