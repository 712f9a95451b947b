"""Two real processes on one run, a lock that is a link, and clocks that jump."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trueward import artifacts, config
from trueward.pipeline.cache import RunCache
from trueward.training.env import Env


def test_of_two_processes_one_runs_and_the_other_says_so(
    small: Callable[..., list[str]],
    baseline: Path,
    tmp_path: Path,
    made_by: Callable[[Path], dict[str, Any]],
    ordinary: list[str],
) -> None:
    command = [*ordinary, *small(), "--out", str(tmp_path / "run")]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    lines = [process.communicate(timeout=300)[1] for process in both]
    codes = [process.returncode for process in both]
    assert 0 in codes
    for code, line in zip(codes, lines, strict=True):
        assert (code, line) == (0, "") or (code == 2 and "another process is at work on this run" in line)
    assert made_by(tmp_path / "run") == made_by(baseline)


def test_a_run_that_another_process_began_in_between_is_not_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = RunCache(tmp_path, "run", config.read("tiny", ["seed=1"]), Env())
    take_lock = RunCache._lock

    def late(self: RunCache) -> Any:
        (self.run / "recipe.toml").write_text(config.read("tiny", ["seed=2"]).toml(), encoding="utf-8")
        (self.run / "sft").mkdir()
        (self.run / "sft" / artifacts.MANIFEST).write_text("{}")
        return take_lock(self)

    monkeypatch.setattr(RunCache, "_lock", late)
    with pytest.raises(ValueError, match="holds a run of another recipe"), cache.open():
        pass
    assert config.read(str(tmp_path / "run" / "recipe.toml")).seed == 2


def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("content")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(precious)
    with (
        pytest.raises(ValueError, match=r"\.lock: .* this is a link"),
        RunCache(tmp_path, "run", config.read("tiny"), Env()).open(),
    ):
        pass
    assert precious.read_text() == "content"


def test_a_clock_that_jumps_changes_nothing(
    climb: Callable[..., Any], baseline: Path, tmp_path: Path, made_by: Callable[[Path], dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    draw = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: draw.uniform(0, 4e9))
    climb(tmp_path, "run")
    assert made_by(tmp_path / "run") == made_by(baseline)
    artifacts.load(tmp_path / "run" / "policy", hash_all=True)
