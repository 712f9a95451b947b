"""Killed at any moment and run again, a run ends as if nothing had happened; and one seed is one result."""

from __future__ import annotations

import json
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward.pipeline import STAGES

WEIGHTS = (
    "sft/model/model.safetensors",
    "reward_model/model/model.safetensors",
    "policy/model/model.safetensors",
    "policy/best/model.safetensors",
)
LOGS = ("metrics.jsonl", "evaluations.jsonl", "samples.jsonl", "rollouts.jsonl.gz")
EVERY_STEP = "runtime.checkpoint_seconds=0"
SECONDS = {"prepare": 0.2, "sft": 0.6, "comparisons": 0.1, "reward_model": 0.3, "policy": 0.9, "evaluation": 0.2}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, small: Callable[..., list[str]], ordinary: list[str]) -> Path:
    """The same command in an ordinary process, never killed."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    subprocess.run([*ordinary, *small(EVERY_STEP), "--out", str(out)], check=True)
    return out


def stage_at_work(run: Path) -> tuple[str, int]:
    """The stage that a run is in, and how many steps its log has."""
    try:
        name = json.loads((run / "pipeline.json").read_text())[-1]["name"]
    except FileNotFoundError:
        return "", 0
    log = run / name / "metrics.jsonl"
    return name, log.read_bytes().count(b"\n") if log.exists() else 0


def wait_for(processes: Any, run: Path, stage: str, step: int) -> None:
    """Until the run is at this step of this stage, or past it, or at its end."""
    while not processes.ended():
        now, done = stage_at_work(run)
        if now and (STAGES.index(now) > STAGES.index(stage) or (now == stage and done >= step)):
            return
        time.sleep(0.003)


def assert_same(run: Path, other: Path, made_by: Callable[[Path], dict[str, Any]]) -> None:
    one, two = made_by(run), made_by(other)
    assert set(WEIGHTS) <= set(one)
    assert {f"policy/{log}" for log in LOGS} <= set(one)
    assert sorted(one) == sorted(two)
    assert [name for name in one if one[name] != two[name]] == []
    assert [p.name for p in run.rglob(".*") if p.name != ".lock"] == []


@pytest.mark.parametrize("seed", range(2))
def test_killed_in_every_stage(
    processes: Any, small: Any, tmp_path: Path, undisturbed: Path, made_by: Any, seed: int
) -> None:
    """One run, killed once in every stage at a step and after a delay that the seed draws."""
    draw = random.Random(seed)
    command = [*small(EVERY_STEP), "--out", str(tmp_path / "run")]
    hit = set()
    for stage in STAGES:
        processes.start(*command)
        steps = {"sft": 5, "reward_model": 1, "policy": 2}.get(stage, 0)
        wait_for(processes, tmp_path / "run", stage, draw.randint(0, steps))
        time.sleep(draw.uniform(0, SECONDS.get(stage, 0.05) / (steps + 1)))
        during = stage_at_work(tmp_path / "run")[0]
        if processes.kill():
            hit.add(during)
    assert len(hit) >= 5, f"the kills were to hit every stage, they hit {hit}"
    assert processes.run(*command) == (0, "")
    assert_same(tmp_path / "run", undisturbed, made_by)


def test_killed_again_and_again(processes: Any, small: Any, tmp_path: Path, undisturbed: Path, made_by: Any) -> None:
    """Killed after ever longer random delays until a process comes to the end."""
    command = [*small(EVERY_STEP), "--out", str(tmp_path / "run")]
    killed = processes.kill_at_random(*command, seed=0, patience=0.15, growth=1.3)
    assert processes.run(*command) == (0, "")
    assert killed >= 3
    assert_same(tmp_path / "run", undisturbed, made_by)


def test_killed_while_a_checkpoint_is_written(
    processes: Any, small: Any, tmp_path: Path, undisturbed: Path, made_by: Any
) -> None:
    """What a writer leaves behind that died between its first byte and the renaming is cleared away."""
    run = tmp_path / "run"
    command = [*small(EVERY_STEP), "--out", str(run)]
    processes.start(*command)
    wait_for(processes, run, "policy", 2)
    assert processes.kill()
    for folder in (run / "policy/checkpoints/.step-0000003.tmp", run / "policy/.best.tmp"):
        folder.mkdir(exist_ok=True)
        (folder / "policy.safetensors").write_bytes(b"the first half")
    (run / "policy/.samples.jsonl.1.tmp").write_text("{")
    with (run / "policy/metrics.jsonl").open("a") as log:
        log.write('{"step": 3, "objec')
    assert processes.run(*command) == (0, "")
    assert_same(run, undisturbed, made_by)


def test_killed_before_the_recipe_is_saved(processes: Any, small: Any, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/.lock").touch()
    (tmp_path / "run/.recipe.toml.1.tmp").write_text("name =")
    assert processes.run(*small(), "--out", str(tmp_path / "run"), "--until", "prepare") == (0, "")


def test_one_seed_is_one_result(baseline: Path, tmp_path: Path, climb: Any, made_by: Any) -> None:
    climb(tmp_path, "again")
    assert_same(tmp_path / "again", baseline, made_by)


def test_two_seeds_are_two_results(baseline: Path, tmp_path: Path, climb: Any) -> None:
    climb(tmp_path, "other", "seed=1")
    for name in (*WEIGHTS, "policy/rollouts.jsonl.gz"):
        assert (tmp_path / "other" / name).read_bytes() != (baseline / name).read_bytes(), name


def test_the_runtime_changes_no_digest(baseline: Path, tmp_path: Path, climb: Any) -> None:
    climb(tmp_path, "other", "runtime.micro_batch_tokens=97", EVERY_STEP)

    def digests(run: Path) -> dict[str, str]:
        return {row["name"]: row["digest"] for row in json.loads((run / "pipeline.json").read_text())}

    assert digests(tmp_path / "other") == digests(baseline)
    # a finished stage has nothing to resume from
    assert not list(tmp_path.glob("other/*/checkpoints"))
