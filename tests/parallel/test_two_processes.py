"""EXACT 15: one process or two, the same losses, gradients and weights, in every training loop."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trueward.parallel.fabric import ALONE, Fabric

SCRIPT = Path(__file__).with_name("one_step.py")
LOOPS = (
    "sft",
    "reward_model",
    "ppo",
    "ppo, with demonstrations and importance weights",
    "grpo",
    "grpo, anchored in the loss",
    "dpo",
    "online dpo",
)


def run(folder: Path, world: int) -> Path:
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    made = [
        subprocess.Popen([sys.executable, str(SCRIPT), str(rank), str(world), str(folder)], env=environment)
        for rank in range(world)
    ]
    assert [p.wait(timeout=240) for p in made] == [0] * world
    return folder


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("alone") / "1", 1)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("together") / "2", 2)


@pytest.mark.parametrize("loop", LOOPS)
def test_two_processes_are_as_one(alone: Path, together: Path, loop: str) -> None:
    one, both = (
        load_file(alone / f"{loop}-0.safetensors"),
        [load_file(together / f"{loop}-{r}.safetensors") for r in (0, 1)],
    )
    for name, weight in one.items():
        assert weight.dtype == torch.float64
        torch.testing.assert_close(both[0][name], weight, rtol=0, atol=1e-10)  # Adam divides by a root of the gradient
        assert torch.equal(both[0][name], both[1][name])
    expected = json.loads((alone / "figures-0.json").read_text())[loop]
    for rank in (0, 1):
        found = json.loads((together / f"figures-{rank}.json").read_text())[loop]
        assert len(found) == len(expected) == 2
        for mine, right in zip(found, expected, strict=True):
            assert mine == pytest.approx(right, rel=1e-6, abs=1e-9)  # some figures are made in float32
    assert any(key.endswith("grad_norm") and row[key] > 0.05 for row in expected for key in row)  # so the clip binds


def test_rows_are_shared_out_whole_and_evenly() -> None:
    lengths = torch.tensor([5, 40, 3, 17, 17, 8, 30])
    shares = [Fabric(rank, 3).rows(lengths) for rank in range(3)]
    assert sorted(torch.cat(shares).tolist()) == list(range(7))
    tokens = [int(lengths[share].sum()) for share in shares]
    assert max(tokens) - min(tokens) <= 40
    for rank in range(3):
        groups = Fabric(rank, 3).micro_batches(lengths, 40)
        assert torch.cat(groups).tolist() == shares[rank].tolist()
        assert all(int(lengths[g].max()) * len(g) <= 40 for g in groups)
    assert Fabric(2, 3).micro_batches(torch.tensor([4, 4]), 40) == []


def test_alone_it_is_the_plain_thing() -> None:
    assert Fabric.of_this_process() is ALONE
    assert ALONE.figures({"a": 1.0}) == {"a": 1.0}
    x = torch.ones(2)
    assert ALONE.sum(x) is x
