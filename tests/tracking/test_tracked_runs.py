"""A whole run with a tracker: the event files say what the logs say, and nothing of the run itself changes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward import config
from trueward.cli import app
from trueward.extras import install
from trueward.tracking import rows


def scalars(folder: Path) -> dict[int, dict[str, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0})
    found.Reload()
    by_step: dict[int, dict[str, float]] = {}
    for tag in found.Tags()["scalars"]:
        for event in found.Scalars(tag):
            assert tag not in by_step.setdefault(event.step, {}), f"{tag}: step {event.step} is there twice"
            by_step[event.step][tag] = event.value
    return by_step


def agrees(run: Path, stage: str) -> None:
    logged = rows.logged(run / stage)
    found = scalars(run / "tensorboard" / stage)
    assert sorted(found) == sorted(logged)
    for step, row in logged.items():
        assert found[step] == pytest.approx({k: v for k, v in row.items() if not isinstance(v, str)}, rel=1e-6), step


def digests(run: Path) -> dict[str, str]:
    return {row["name"]: row["digest"] for row in json.loads((run / "pipeline.json").read_text())}


def test_every_stage_is_tracked_and_nothing_else_changes(tmp_path: Path, climb: Any, baseline: Path) -> None:
    """In the home of a finished run its stages are taken over, and their numbers are sent all the same."""
    climb(baseline.parent, "tracked over", "runtime.tracking=tensorboard")
    climb(tmp_path, "tracked", "runtime.tracking=tensorboard")
    for run in (baseline.parent / "tracked over", tmp_path / "tracked"):
        for stage in ("sft", "reward_model", "policy"):
            agrees(run, stage)
        assert digests(run) == digests(baseline)
    for log in ("sft/metrics.jsonl", "policy/metrics.jsonl", "policy/samples.jsonl"):
        assert (tmp_path / "tracked" / log).read_bytes() == (baseline / log).read_bytes()


def test_a_killed_run_goes_on_in_its_event_files(
    tmp_path: Path, make_processes: Any, small: Callable[..., list[str]]
) -> None:
    arguments = small("tracking=tensorboard", "runtime.checkpoint_seconds=0.05", "policy.steps=40")
    with make_processes(tmp_path) as processes:
        processes.start(*arguments, "--out", "runs/cut")
        log = tmp_path / "runs/cut/policy/metrics.jsonl"
        while not processes.ended() and not (log.is_file() and log.read_text().count("\n") > 5):
            os.sched_yield()
        assert processes.kill(), "it was over before it was killed"
        assert processes.run(*arguments, "--out", "runs/cut")[0] == 0, (tmp_path / "stderr").read_text()
    for stage in ("sft", "reward_model", "policy"):
        agrees(tmp_path / "runs/cut", stage)
    assert len(list((tmp_path / "runs/cut/tensorboard/policy").iterdir())) == 2  # a file a session


def test_a_missing_package_costs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "trackio", None)
    for command in (["run", "tiny"], ["sweep", "tiny", "--over", "policy.kl_coef=0,1"]):
        monkeypatch.setattr("sys.argv", ["trueward", *command, "--set", "tracking=trackio"])
        with pytest.raises(SystemExit) as stopped:
            app.main()
        assert stopped.value.code == 2
        said = capsys.readouterr().err.strip()
        assert said == "trueward: runtime.tracking: trackio is not installed: " + install("trackio")
        assert not (tmp_path / "runs").exists()


def test_the_setting_is_short_for_one_of_runtime() -> None:
    assert config.read("tiny", ["tracking=tensorboard"]).runtime.tracking == "tensorboard"
    assert config.variant("tiny", ["tracking=wandb", "seed=1"]) == "tiny,seed=1"
    with pytest.raises(ValueError, match=r"runtime\.tracking: .*'trackio'"):
        config.read("tiny", ["tracking=mlflow"])
