"""A run of trueward 0.1, which has ladder.json in place of pipeline.json, is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward import artifacts

Command = Callable[..., tuple[int, str, str]]
RECIPE = 'name = "tiny"\n\n[evaluation]\nlook_prompts = 128\n\n[sampler]\nrows = 128\n'


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """What a run of 0.1 leaves behind, under runs/."""
    run = tmp_path / "runs" / "older"
    (run / "sft" / "model").mkdir(parents=True)
    (run / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    (run / "ladder.json").write_text(json.dumps([{"name": "sft", "digest": "0", "state": "done"}]), encoding="utf-8")
    (run / "report.json").write_text('{"format": 1}', encoding="utf-8")
    (run / "sft" / "manifest.json").write_text('{"format": 1}', encoding="utf-8")
    (run / "sft" / "model" / "config.json").write_text("{}", encoding="utf-8")
    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("named", ["older", "runs/older"])
@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "RUN"],
        ["doctor", "RUN"],
        ["sample", "RUN", "-p", "the new film"],
        ["frontier", "RUN", "RUN"],
        ["evaluate", "RUN"],
        ["evaluate", "RUN", "--people", "film"],
        ["profile", "RUN"],
    ],
    ids=lambda arguments: " ".join(arguments),
)
def test_it_is_refused_by_every_command_that_reads_runs(
    command: Command, older: Path, arguments: list[str], named: str
) -> None:
    before = contents(older)
    code, out, err = command(*(named if word == "RUN" else word for word in arguments))
    assert (code, out) == (2, "")
    assert err == (
        "trueward: runs/older: a run of trueward 0.1, which this version does not read; make it again (`trueward run` with a "
        "new --out) or read it with trueward 0.1\n"
    )
    assert contents(older) == before


@pytest.mark.parametrize("arguments", [["run", "tiny"], ["sweep", "tiny", "--over", "policy.kl_coef=0,1"]])
def test_nothing_is_written_into_it(command: Command, older: Path, arguments: list[str]) -> None:
    before = contents(older)
    code, out, err = command(*arguments, "--out", "runs/older", "--quiet")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("trueward: runs/older: a run of trueward 0.1, ")
    assert contents(older) == before


def test_a_run_beside_it_is_not_disturbed(command: Command, older: Path, small: Any) -> None:
    code, _, err = command(*small(), "--until", "prepare", "--quiet")
    assert (code, err) == (0, "")
    assert artifacts.is_run(next(path for path in older.parent.iterdir() if path != older))
