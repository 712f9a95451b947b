"""benchmarks/results.json: merging and writing."""

import json
from pathlib import Path
from typing import Any

import pytest
from speed import results


def row(name: str, size: str, ours: float = 1.0) -> dict[str, Any]:
    return {**dict.fromkeys(results.FIELDS), "name": name, "size": size, "ours": ours}


def test_only_the_row_that_was_run_is_replaced() -> None:
    old = [row("sft", "S"), row("ppo", "S"), row("ppo", "L")]
    found = results.merged(old, [row("ppo", "S", 2.0)])
    assert [(r["name"], r["size"], r["ours"]) for r in found] == [
        ("sft", "S", 1.0),
        ("ppo", "S", 2.0),
        ("ppo", "L", 1.0),
    ]


def test_new_rows_come_last_in_their_order() -> None:
    found = results.merged([row("sft", "S")], [row("dpo", "S"), row("sft", "S", 3.0), row("dpo", "L")])
    assert [(r["name"], r["size"], r["ours"]) for r in found] == [
        ("sft", "S", 3.0),
        ("dpo", "S", 1.0),
        ("dpo", "L", 1.0),
    ]


def test_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert results.read(path) == []
    results.write(path, [row("sft", "S")])
    assert results.read(path) == [row("sft", "S")]
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_a_row_that_lacks_a_field_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.write(path, [row("sft", "S")])
    with pytest.raises(ValueError, match="ppo: a row without unit"):
        results.write(path, [{k: v for k, v in row("ppo", "S").items() if k != "unit"}])
    assert results.read(path) == [row("sft", "S")]


def test_what_is_no_list_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"sft": 1}), encoding="utf-8")
    with pytest.raises(ValueError, match="expected a list of rows, got dict"):
        results.read(path)
