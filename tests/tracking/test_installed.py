"""wandb (offline) and trackio as they are, where they are installed: what they keep on disk is read back."""

from __future__ import annotations

import importlib.util
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from trueward import tracking
from trueward.tracking import rows

pytestmark = pytest.mark.filterwarnings("default")  # theirs are not ours


def has(name: str) -> Any:
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=f"{name} is not installed")


def stage_with(run: Path, steps: range) -> Path:
    stage = run / "policy"
    stage.mkdir(parents=True, exist_ok=True)
    (stage / "unfinished.json").write_text('{"digest": "d"}')
    with (stage / "metrics.jsonl").open("a") as file:
        for step in steps:
            file.write(json.dumps({"step": step, "nll": step / 8}) + "\n")
    return stage


def send(stage: Path, kind: str, steps: range) -> None:
    with tracking.follow(kind, {"name": "r"}, stage) as tracker:
        tracker.begin(stage, max(rows.logged(stage), default=None))
        for step in steps:
            tracker.send(step, {"nll": step / 8}, {"verdict": "learning"} if step == 4 else {})


def records(path: Path) -> Iterator[bytes]:
    """Records of wandb's file: a header of 7 bytes, then LevelDB's log format in blocks of 32 KiB."""
    data, at, part = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        if kind == 0:
            break
        part += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield part
            part = b""


@has("wandb")
def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    tracking.require("wandb")
    stage = stage_with(tmp_path / "run", range(1, 3))
    send(stage, "wandb", range(3, 5))
    send(stage, "wandb", range(3, 7))  # cut off, and told again
    from wandb.proto import wandb_internal_pb2

    found = []
    for path in sorted((tmp_path / "run/wandb").glob("offline-run-*/*.wandb")):
        for raw in records(path):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(raw)
            if record.WhichOneof("record_type") == "history":
                items = {i.key or "/".join(i.nested_key): json.loads(i.value_json) for i in record.history.item}
                found.append((items.get("_step", record.history.step.num), items["nll"]))
    assert found == [(step, step / 8) for step in range(1, 7)]


@has("trackio")
def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    import trackio.utils

    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "trackio", raising=False)
    monkeypatch.setattr(trackio.utils, "TRACKIO_DIR", tmp_path / "trackio", raising=False)
    from trackio.sqlite_storage import SQLiteStorage

    tracking.require("trackio")
    monkeypatch.setenv("TRACKIO_PROJECT", f"t{tmp_path.name}")
    stage = stage_with(tmp_path / "run", range(1, 3))
    send(stage, "trackio", range(3, 5))
    send(stage, "trackio", range(3, 7))
    (name,) = SQLiteStorage.get_runs(f"t{tmp_path.name}")
    found = SQLiteStorage.get_logs(f"t{tmp_path.name}", name)
    assert [(row["step"], row["nll"]) for row in found] == [(step, step / 8) for step in range(1, 7)]
