"""Damage to a run on disk: noticed by the next command that takes a stage over, and by `trueward verify` always."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward.training.state import State

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, climb: Any) -> Path:
    """A run of one stage. Copy it."""
    home = tmp_path_factory.mktemp("prepared")
    climb(home, "run", until="prepare")
    return home / "run"


def flip(file: Path, *, keep_time: bool = False) -> None:
    raw, status = file.read_bytes(), file.stat()
    file.unlink()  # it may be linked
    file.write_bytes(raw[:-2] + bytes([raw[-2] ^ 1]) + raw[-1:])
    if keep_time:
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_a_flipped_bit_stops_the_next_stage(prepared: Path, tmp_path: Path, command: Command, small: Any) -> None:
    run = tmp_path / "run"
    shutil.copytree(prepared, run)
    assert command(*small(), "--out", str(run), "--until", "prepare")[0] == 0
    flip(run / "prepare/prompts.jsonl")
    code, _, err = command(*small(), "--out", str(run), "--until", "prepare")
    assert code == 2
    assert err == (
        f"trueward: {run / 'prepare'}: prompts.jsonl is damaged, it has changed since the manifest was written; "
        "remove the directory to make it again\n"
    )


def test_a_neighbours_damage_is_not_taken_over(
    prepared: Path, tmp_path: Path, climb: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(prepared, tmp_path / "damaged")
    flip(tmp_path / "damaged/prepare/prompts.jsonl")
    made = climb(tmp_path, "mine", until="prepare")
    assert (made.path / "prompts.jsonl").read_bytes() == (prepared / "prepare/prompts.jsonl").read_bytes()
    err = capsys.readouterr().err
    assert err.startswith(f"trueward: note: {tmp_path / 'damaged/prepare'}: prompts.jsonl is damaged")
    assert err.count("\n") == 1


def test_verify(prepared: Path, tmp_path: Path, command: Command) -> None:
    run = tmp_path / "run"
    shutil.copytree(prepared, run)
    State({}, {}).save(run / "sft/checkpoints/step-0000003", {"sizes": {}, "digests": {}, "kept": {}, "kept_files": {}})
    code, out, err = command("verify", str(run))
    assert (code, err) == (0, "")
    assert [line.split("  ")[-1] for line in out.splitlines()][1:] == ["whole, 1 files"]
    flip(run / "prepare/prompts.jsonl", keep_time=True)
    flip(run / "sft/checkpoints/step-0000003/state.json", keep_time=True)
    code, out, _ = command("verify", str(run))
    assert code == 2
    one, two = out.splitlines()
    assert one.startswith("prepare ")
    assert "prompts.jsonl is damaged" in one
    assert two.startswith("sft/checkpoints/step-0000003  ")
    assert two.endswith("state.json: damaged, it has changed since it was written")


def test_there_may_be_nothing_to_verify(tmp_path: Path, command: Command) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/pipeline.json").write_text("[]")
    assert command("verify", str(tmp_path / "run")) == (
        2, "", f"trueward: {tmp_path / 'run'}: holds no finished stage and no checkpoint\n"
    )  # fmt: skip
