"""Answers of other tools' runs, as they write them: the step, the texts, the columns of scores, and what is wrong in a line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from trueward.data import rollouts


def written(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_verls_dumps(tmp_path: Path) -> None:
    rows = [{"input": "q", "output": "a b", "gts": "7", "score": 0.5, "step": 10, "acc": True}]
    for step in (10, 9):
        written(tmp_path / f"{step}.jsonl", [{**row, "step": step} for row in rows])
    files = rollouts.files_of([str(tmp_path / "*.jsonl")])
    assert [file.name for file in files] == ["9.jsonl", "10.jsonl"]  # 9 comes before 10
    read = rollouts.read(files)
    assert read.columns == ("score", "acc")
    (row,) = read.by_step()[10]
    assert (row.completion.prompt.text, row.completion.response, row.completion.prompt.answer) == ("q", "a b", "7")
    assert row.scores == {"score": 0.5, "acc": 1.0}


def test_trls_completions(tmp_path: Path) -> None:
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = {
        "step": [5, 5],
        "prompt": [[{"role": "user", "content": "q"}]] * 2,
        "completion": [[{"role": "assistant", "content": "a"}], [{"role": "assistant", "content": ""}]],
        "length_reward": [1.0, None],
        "advantage": [0.1, -0.1],
    }
    parquet.write_table(arrow.table(table), tmp_path / "completions_00005.parquet")
    read = rollouts.read(rollouts.files_of([str(tmp_path)]))  # a folder is all that it holds
    assert read.columns == ("length_reward",)  # an advantage is no score
    first, second = read.by_step()[5]
    assert first.completion.prompt.messages[0].content == "q"
    assert (first.completion.response, second.completion.response) == ("a", "")
    assert first.scores["length_reward"] == 1.0
    assert second.scores["length_reward"] != second.scores["length_reward"]  # NaN: nothing scored it


@pytest.mark.parametrize(
    ("name", "step"),
    [("step-9.jsonl", 9), ("rollouts_2_00010.jsonl", 10), ("iteration_7/answers.jsonl", 7), ("answers.jsonl.gz", None)],
)
def test_the_step_of_a_file(name: str, step: int | None) -> None:
    assert rollouts.step_of(Path("out") / name) == step


def test_a_row_without_a_step(tmp_path: Path) -> None:
    file = written(tmp_path / "answers" / "some.jsonl", [{"prompt": "q", "completion": "a"}])
    with pytest.raises(ValueError, match=r"some.jsonl, line 1: expected the step .* a number in the name"):
        rollouts.read([file]).by_step()


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        (
            {"prompt": "q"},
            (),
            r"line 1: expected a prompt \(.*\) and an answer \(completion, output, response\), got prompt",
        ),
        ({"total_reward": 1.0, "steps": []}, (), "holds rewards and no texts"),
        ({"prompt": "q", "completion": "a", "score": 1.0}, ("truth",), 'line 1: "truth": expected a score .*: score'),
        ({"prompt": "q", "completion": "a", "truth": "good"}, ("truth",), "\"truth\": expected a number, got 'good'"),
        (
            {"prompt": "q", "completion": "a", "step": "late"},
            (),
            "\"step\": expected a step, a whole number from 0, got 'late'",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    tmp_path: Path, row: dict[str, Any], columns: Sequence[str], message: str
) -> None:
    file = written(tmp_path / "step-1.jsonl", [row])
    with pytest.raises(ValueError, match=message) as error:
        rollouts.read([file], columns)
    assert "\n" not in str(error.value)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no such file of answers"):
        rollouts.files_of([str(tmp_path / "*.jsonl")])


def test_rows_without_an_answer_are_counted(tmp_path: Path) -> None:
    file = written(tmp_path / "1.jsonl", [{"prompt": "", "completion": "a"}, {"prompt": "q", "completion": "a"}])
    read = rollouts.read([file])
    assert (len(read.rows), read.unusable) == (1, 1)
