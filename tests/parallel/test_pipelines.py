"""`trueward run` in several processes: the run of one, written by rank 0 alone; whatever differs between them stops it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trueward import config
from trueward.parallel.launched import NESTED
from trueward.pipeline.run import run_pipeline
from trueward.progress import Progress

sys.path.insert(0, str(Path(__file__).parent))
from pipelines import OWN, SHORT

Processes = Callable[..., Path]
WEIGHTS = ("sft/model", "reward_model/model", "policy/model")
WHOLE_REFERENCE = True  # as the processes that torchrun starts


@pytest.fixture(scope="module")
def together(start_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_processes("pipelines.py", tmp_path_factory.mktemp("pipelines"), 2, timeout=900)


@pytest.fixture(scope="module")
def found(together: Path) -> list[dict[str, Any]]:
    """By rank."""
    return [json.loads((together / "2" / f"found-{rank}.json").read_text()) for rank in (0, 1)]


@pytest.fixture(scope="module")
def alone(together: Path) -> Path:
    """The same runs by one process."""
    home = together / "1"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(together))
        patch.setenv("ASKED", str(home / "asked.txt"))
        for name, more in (("whole", ()), ("own", (*OWN, "reward.verifier=counting:own"))):
            recipe = config.read("nano", [*SHORT, *more])
            run_pipeline(recipe, home / name, "run", Progress(), command="test")
    return home


def table_of(report: Path) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(report.read_text())
    return table


def same(one: Any, other: Any) -> None:
    """Equal, but for the last digit of a rounded number, and for times and memory."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one.keys() - {"seconds", "peak_memory_mb"}:
            same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for mine, theirs in zip(one, other, strict=True):
            same(mine, theirs)
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-3, abs=2e-4)
    else:
        assert one == other


def close(one: Path, other: Path) -> None:
    """The same weights but for float32's rounding."""
    for place in WEIGHTS:
        mine, theirs = (load_file(run / place / "model.safetensors") for run in (one, other))
        for name, weight in mine.items():
            torch.testing.assert_close(theirs[name], weight, rtol=0, atol=1e-6)


def test_a_run_of_two_is_that_of_one(together: Path, alone: Path, found: list[dict[str, Any]]) -> None:
    """Weights, evaluations, verdict, report; the same files."""
    one, two = alone / "whole" / "run", together / "2" / "whole" / "run"
    assert [rank["ended"]["whole"] for rank in found] == ["", ""]
    close(one, two)
    same(table_of(one / "report.json"), table_of(two / "report.json"))
    files = [sorted(p.relative_to(run).as_posix() for p in run.rglob("*") if p.is_file()) for run in (one, two)]
    assert files[0] == files[1]
    assert [rank["ended"]["again"] for rank in found] == ["", ""], "a finished run is read by both"


def test_evaluations_are_sampled_and_read_by_all(found: list[dict[str, Any]]) -> None:
    """16 prompts each: of SFT twice in training and 4 times at the end; of the policy at steps 2 and 4 and at the end."""
    assert found[0]["helped"] == []
    helped = Counter(found[1]["helped"])
    assert set(helped) == {"sample 16", "figures 16"}
    assert helped["sample 16"] >= 2 + 2 + 4 + 1
    assert helped["figures 16"] >= 3 + 2


def test_rank_0_alone_writes(found: list[dict[str, Any]]) -> None:
    assert found[0]["written"]
    assert found[1]["written"] == []


def test_a_scorer_is_asked_once_an_answer(together: Path, alone: Path, found: list[dict[str, Any]]) -> None:
    asked = [Counter((home / "asked.txt").read_text().splitlines()) for home in (alone, together / "2")]
    assert [rank["ended"]["own scorer"] for rank in found] == ["", ""]
    assert asked[0] == asked[1]
    assert asked[0].total() > 500


@pytest.mark.parametrize(
    ("case", "line"),
    [
        ("another seed", "the recipe: rank 1 holds another one than rank 0"),
        ("another version", "rank 1 has numpy 9.9, rank 0 has "),
        ("another weight", "the weights after step 1: rank 1 holds another one than rank 0"),
    ],
)
def test_what_differs_stops_the_run_and_names_the_rank(found: list[dict[str, Any]], case: str, line: str) -> None:
    assert found[0]["ended"][case].startswith(f"DivergedError: {line}")
    assert found[1]["ended"][case] == "exit 2", "rank 0 says it"


def test_a_mistake_is_reported_by_rank_0(found: list[dict[str, Any]]) -> None:
    assert found[0]["ended"]["a recipe that can't be run"] == "ValueError: x: no such file"
    assert found[1]["ended"]["a recipe that can't be run"] == "exit 0", "rank 0 says it"


def processes_of(run: Path) -> dict[int, int]:
    """The ids of the processes at work on a run, by rank."""
    found = {}
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words, environment = (place / "cmdline").read_bytes(), (place / "environ").read_bytes()
        except OSError:  # it has ended
            continue
        ranks = [v.removeprefix(b"RANK=") for v in environment.split(b"\0") if v.startswith(b"RANK=")]
        if str(run).encode() in words.split(b"\0") and ranks:
            found[int(ranks[0])] = int(place.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by Linux's /proc")
def test_killed_and_resumed_by_another_number_of_processes(alone: Path, tmp_path: Path) -> None:
    """One of two is killed in the middle of the policy's loop: the other and the launcher end too, and name it."""
    run = tmp_path / "home" / "run"
    changes = [word for change in SHORT for word in ("--set", change)]
    command = [sys.executable, "-m", "trueward", "run", "nano", "--out", str(run), *changes]
    environment = {name: value for name, value in os.environ.items() if name not in NESTED} | {"OMP_NUM_THREADS": "1"}
    launched = subprocess.Popen(
        [*command, "--quiet", "--launch", "torchrun", "--nproc-per-node", "2"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until = time.monotonic() + 600
        while not any((run / "policy" / "checkpoints").glob("step-*/state.json")):
            assert launched.poll() is None, launched.stderr
            assert time.monotonic() < until
            time.sleep(0.01)
        os.kill(processes_of(run)[1], signal.SIGKILL)
        _, said = launched.communicate(timeout=300)
    finally:
        launched.kill()
    assert launched.returncode != 0
    assert "Traceback" not in said
    assert not processes_of(run), "nothing is left behind"
    assert not (run / "report.json").exists()
    run_pipeline(config.read("nano", list(SHORT)), run.parent, "run", Progress(), command="test")
    close(alone / "whole" / "run", run)
