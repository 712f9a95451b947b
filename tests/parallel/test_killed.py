"""SIGKILL of a rank or of the launcher at any moment: the others end, nobody is left, and the same command goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

Processes = Callable[..., Path]
SEED = 20261130
CASES = [f"{victim}-{number}" for victim in ("rank 0", "rank 1", "launcher") for number in range(3)]
WEIGHTS = ("sft/model", "reward_model/model", "policy/model")

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="orphans are adopted by Linux's prctl")


def lines(said: str) -> list[str]:
    """What is said, without torch's own log of its sockets."""
    return [line for line in said.splitlines() if "[c10d]" not in line]


@pytest.fixture(scope="module")
def folder(start_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_processes("killed.py", tmp_path_factory.mktemp("killed"), SEED, timeout=1500)


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return read


@pytest.mark.parametrize("case", CASES)
def test_the_same_command_ends_in_the_weights_of_a_run_that_was_never_killed(
    folder: Path, found: dict[str, Any], case: str
) -> None:
    """As many processes: the same bits. One in place of two: rounding."""
    assert found[case]["code"] == 0, found[case]
    for place in WEIGHTS:
        mine, right = (load_file(folder / home / "run" / place / "model.safetensors") for home in (case, "never"))
        for name, weight in right.items():
            if found[case]["world"] == 2:
                assert torch.equal(mine[name], weight), (place, found[case]["share"])
            else:
                torch.testing.assert_close(mine[name], weight, rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", [*CASES, "sharded"])
def test_nobody_is_left_and_nothing_but_lines_is_said(found: dict[str, Any], case: str) -> None:
    assert found[case]["left"] == []
    for said in found[case]["said"].values():
        assert "Traceback" not in said
        assert all(line.startswith("trueward: ") for line in lines(said))


def test_moments_lie_within_the_run(found: dict[str, Any]) -> None:
    """At least a third: how long a run takes is not the same twice. And one was gone on with by one process."""
    assert sum(not found[case]["had_ended"] for case in CASES) >= len(CASES) // 3
    assert {found[case]["world"] for case in CASES} == {1, 2}


def test_who_waits_for_a_process_that_never_came_can_be_told_to_end_and_gives_up(found: dict[str, Any]) -> None:
    """The main thread waits in torch, where Python hears no signal."""
    told, left = found["waits for one who never came"], found["gives up one who never came"]
    assert (told["code"], lines(told["said"])) == (
        143,
        ["trueward: stopped by SIGTERM; the same command goes on from here"],
    )
    late = "trueward: rank 0: not all processes have come"
    assert (left["code"], lines(left["said"])) == (
        75,
        [f"{late} within 3 s to where they meet, 127.0.0.1:{left['port']}"],
    )


def test_who_has_parts_of_a_network_names_the_rank_that_died(found: dict[str, Any]) -> None:
    """Weights are gathered and summed within torch's passes, which fail there."""
    assert found["sharded"]["codes"]["0"] == 75
    assert found["sharded"]["said"]["0"] == "trueward: rank 1 has ended; the same command goes on from here\n"
