"""EXACT 15: one process, two or four, the same losses, gradients and weights, in every training loop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trueward.parallel.fabric import ALONE, Fabric

Processes = Callable[..., Path]
LOOPS = (
    "sft",
    "sft, lora",
    "reward_model",
    "reward_model, a second member",
    "ppo",
    "ppo, a shared critic",
    "grpo",
    "rloo",
    "dpo",
    "online dpo",
    "sft, the top layer",
    "reward_model, the top layer",
)
FEW = (
    "ppo, lora",
    "ppo, from older weights",
    "ppo, with demonstrations and importance weights",
    "grpo, refilled",
    "grpo, anchored in the loss",
)
WORLDS = (2, 4)
CASES = [(loop, world, 10) for world in WORLDS for loop in LOOPS] + [(loop, 2, 2) for loop in FEW]


@pytest.fixture(scope="module")
def folder(start_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_processes("one_step.py", tmp_path_factory.mktemp("steps"), 1, *WORLDS, timeout=900)


def weights(folder: Path, world: int, loop: str) -> list[dict[str, torch.Tensor]]:
    """By rank."""
    return [load_file(folder / str(world) / f"{loop}-{rank}.safetensors") for rank in range(world)]


def figures(folder: Path, world: int, loop: str) -> list[list[dict[str, float]]]:
    """By rank and step."""
    return [json.loads((folder / str(world) / f"figures-{rank}.json").read_text())[loop] for rank in range(world)]


@pytest.mark.parametrize(("loop", "world", "steps"), CASES)
def test_several_processes_are_as_one(folder: Path, loop: str, world: int, steps: int) -> None:
    (one,), every = weights(folder, 1, loop), weights(folder, world, loop)
    for name, weight in one.items():
        assert weight.dtype == torch.float64
        torch.testing.assert_close(every[0][name], weight, rtol=0, atol=1e-12)
        assert all(torch.equal(mine[name], every[0][name]) for mine in every)
    (expected,) = figures(folder, 1, loop)
    for found in figures(folder, world, loop):
        assert len(found) == len(expected) == steps
        for mine, right in zip(found, expected, strict=True):
            assert mine == pytest.approx(right, rel=1e-6, abs=1e-9)  # some figures are made in float32
    if loop == "grpo, refilled":
        assert any(row["refill/rounds"] > 0 for row in expected)
    assert any(key.endswith("grad_norm") and row[key] > 0.05 for row in expected for key in row)  # so the clip binds


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("loop", ["sft", "reward_model", "dpo", "sft, the top layer", "reward_model, the top layer"])
def test_in_float32_they_differ_by_rounding_alone(folder: Path, loop: str, world: int) -> None:
    (one,), every = weights(folder, 1, f"{loop}, float32"), weights(folder, world, f"{loop}, float32")
    for name, weight in one.items():
        assert weight.dtype == torch.float32
        torch.testing.assert_close(every[0][name], weight, rtol=0, atol=1e-6)
        assert all(torch.equal(mine[name], every[0][name]) for mine in every)


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


def test_no_number_of_micro_batches_can_hang(start_processes: Processes, tmp_path: Path) -> None:
    """Nothing is sent between micro-batches: who has more of them, or none, keeps nobody waiting (20 s at most)."""
    folder = start_processes("uneven.py", tmp_path / "uneven", 3)
    counts = [json.loads((folder / "3" / f"parts-{rank}.json").read_text()) for rank in range(3)]
    assert [mine[0] for mine in counts] == [1, 1, 0]
    assert len({mine[1] for mine in counts}) > 1
