"""Checkpoints that something happened to: each is named in a line, the one before is taken, and the end is the same."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy
from trueward.training.digests import damage_of_checkpoint
from trueward.training.journal import BEST, EVALUATIONS, LOGS, METRICS, ROLLOUTS, DirectoryJournal
from trueward.training.state import State, adam

TOTAL = 6
KEPT = (1, 2, 4, 5)  # the steps whose network is the best so far


def flip(raw: bytes) -> bytes:
    return raw[:-2] + bytes([raw[-2] ^ 1]) + raw[-1:]


DAMAGES: dict[str, Callable[[bytes], bytes | None]] = {
    "a flipped bit": flip,
    "a flipped bit at the start": lambda raw: bytes([raw[0] ^ 1]) + raw[1:],
    "truncated": lambda raw: raw[: len(raw) // 2],
    "emptied": lambda raw: b"",
    "{}": lambda raw: b"{}",
    "gone": lambda raw: None,
}
FILES = ("policy.safetensors", "policy.optimizer.safetensors", "state.json", "digests.json")


def harm(path: Path, how: str) -> None:
    """Damage a file; its size and time may stay."""
    made, status = DAMAGES[how](path.read_bytes()), path.stat()
    path.unlink()
    if made is not None:
        path.write_bytes(made)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def load(path: Path) -> Network:
    return one(float(load_file(path / "model.safetensors")["table"]))


def one(value: float = 0.0) -> Network:
    model = TabularPolicy(vocabulary=1, order=1, context=1)
    with torch.no_grad():
        model.table.fill_(value)
    tokenizer: Any = SimpleNamespace(save_pretrained=lambda path: None)
    return Network(model, tokenizer)


def go(directory: Path, until: int = TOTAL) -> Any:
    """A loop from its last checkpoint to step `until`; what it leaves: weight, numbers, best, logs."""
    directory.mkdir(exist_ok=True)
    network, journal = one(), DirectoryJournal(directory, load)
    state = State({"policy": network.model}, {"policy": adam(network.model, 0.1)}, numbers={"beta": 1.0})
    journal.resume(state)
    table = network.model.table
    while state.step < until:
        state.step += 1
        table.grad = torch.ones_like(table) * state.step
        state.optimizers["policy"].step()
        state.numbers["beta"] *= 1.1
        journal.append(METRICS, [{"step": state.step, "nll": float(table.detach())}])
        journal.append(ROLLOUTS, [{"step": state.step, "response": "r" * state.step}])
        if state.step in KEPT:
            journal.append(EVALUATIONS, [{"step": state.step}])
            journal.keep(BEST, network, state.step)
        journal.save(state, {})
    best = journal.kept(BEST)
    return (
        float(table.detach()), state.numbers, None if best is None else float(best.model.table.detach()),
        {log: journal.rows(log) for log in LOGS},
    )  # fmt: skip


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What a run without damage leaves."""
    return go(tmp_path_factory.mktemp("whole"))


@pytest.mark.parametrize(
    ("name", "how", "step"),
    [(name, how, 2 + (n + m) % 4) for n, name in enumerate(FILES) for m, how in enumerate(DAMAGES)],
)
def test_the_older_checkpoint_is_taken_and_the_end_is_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], whole: Any, name: str, how: str, step: int
) -> None:
    go(tmp_path / "run", step)
    checkpoints = tmp_path / "run/checkpoints"
    file = checkpoints / f"step-{step:07d}" / name
    harm(file, how)
    assert go(tmp_path / "run") == whole
    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert line.startswith("trueward: note: ")
    assert line.endswith(f"; run goes on from the checkpoint before, step-{step - 1:07d}\n")
    assert str(file.parent) in line
    if name != "digests.json":
        assert str(file) in line


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_two_damaged_checkpoints_are_one_line(tmp_path: Path, name: str, how: str) -> None:
    go(tmp_path / "run", 4)
    for step in (3, 4):
        harm(tmp_path / f"run/checkpoints/step-{step:07d}" / name, how)
    with pytest.raises(ValueError, match=r"no other checkpoint is whole, so remove .*run to make this stage") as caught:
        go(tmp_path / "run")
    assert "\n" not in str(caught.value)
    assert "step-0000004" in str(caught.value)


@pytest.mark.parametrize("log", [METRICS, ROLLOUTS])
@pytest.mark.parametrize("how", ["a flipped bit", "truncated", "emptied", "gone"])
def test_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str], whole: Any, log: str, how: str) -> None:
    """Damage after the older checkpoint costs the newer one; damage before both of them is the end."""
    go(tmp_path / "run", 4)
    path = tmp_path / "run" / log
    if how == "a flipped bit":
        harm(path, how)
        assert go(tmp_path / "run") == whole
        assert f"{path}: damaged, it has changed since it was written; run goes on" in capsys.readouterr().err
        how = "a flipped bit at the start"
    harm(path, how)
    with pytest.raises(ValueError, match=rf"{log}: (damaged, it|missing).*; no other checkpoint is whole"):
        go(tmp_path / "run")


def test_rows_after_the_last_checkpoint_are_no_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], whole: Any
) -> None:
    go(tmp_path / "run", 4)
    with (tmp_path / "run" / METRICS).open("a") as file:
        file.write('{"step": 5, "half a ro')
    assert go(tmp_path / "run") == whole
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("how", DAMAGES)
def test_the_best_network(tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str], whole: Any) -> None:
    """That of the last checkpoint, which the one before it has no part in; then that of both."""
    for step, damaged in ((4, False), (3, True)):
        run = tmp_path / f"run{step}"
        go(run, step)
        harm(run / "best/model.safetensors", how)
        if damaged:
            with pytest.raises(ValueError, match=r"best/model.safetensors: .*no other checkpoint is whole"):
                go(run)
        else:
            assert go(run) == whole
            assert "best/model.safetensors: " in capsys.readouterr().err


def test_what_is_set_aside_goes_with_its_checkpoint(tmp_path: Path) -> None:
    go(tmp_path / "run")
    there = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert there == ["step-0000005", "step-0000006"]


def test_a_checkpoint_lists_all_its_files(tmp_path: Path) -> None:
    go(tmp_path / "run", 2)
    checkpoint = tmp_path / "run/checkpoints/step-0000002"
    assert sorted(json.loads((checkpoint / "digests.json").read_text())) == sorted(FILES[:3])
    assert damage_of_checkpoint(checkpoint, tmp_path / "run") == ""
