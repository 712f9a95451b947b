"""A run across two hosts that is cut in two: both end in a line, in time, and the same command goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

Processes = Callable[..., Path]
SILENCE = 4


def lines(said: str) -> list[str]:
    """What trueward says; torch warns of addresses that have no name here."""
    return [line for line in said.splitlines() if "[c10d]" not in line]


@pytest.fixture(scope="module")
def folder(start_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = start_processes("hosts.py", tmp_path_factory.mktemp("hosts"), timeout=900)
    if why := json.loads((made / "found.json").read_text()).get("skipped"):
        pytest.skip(f"no network namespaces here: {why}")
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return read


def test_who_is_cut_off_is_given_up_by_both_in_a_line(found: dict[str, Any]) -> None:
    first = found["first"]
    assert first["codes"] == [75, 75]
    assert first["seconds"] < 5 * SILENCE
    for rank, said in enumerate(first["said"]):
        silent = f"trueward: rank {rank}: rank {1 - rank} has sent nothing for {SILENCE} s; "
        assert lines(said) == [f"{silent}the same command goes on from here"]


def test_with_the_cable_in_again_it_ends_in_the_same_bits(folder: Path, found: dict[str, Any]) -> None:
    for run in ("never", "second"):
        assert found[run]["codes"] == [0, 0]
        assert [lines(said) for said in found[run]["said"]] == [[], []]
    for place in ("sft/model", "reward_model/model", "policy/model"):
        mine, right = (load_file(folder / run / "run" / place / "model.safetensors") for run in ("cut", "never"))
        assert all(torch.equal(mine[name], weight) for name, weight in right.items())
