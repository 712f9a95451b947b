"""EXACT 15: one process or two, the same losses, gradients and weights, in every training loop."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trueward.parallel.fabric import ALONE, Fabric

Processes = Callable[[str, Path, int], Path]
LOOPS = (
    "sft",
    "reward_model",
    "ppo",
    "ppo, each sampling all of it",
    "ppo, from older weights",
    "ppo, with demonstrations and importance weights",
    "grpo",
    "grpo, each sampling all of it",
    "grpo, refilled",
    "grpo, anchored in the loss",
    "dpo",
    "online dpo",
)


@pytest.fixture(scope="module")
def alone(start_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_processes("one_step.py", tmp_path_factory.mktemp("alone") / "1", 1)


@pytest.fixture(scope="module")
def together(start_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_processes("one_step.py", tmp_path_factory.mktemp("together") / "2", 2)


@pytest.mark.parametrize("loop", LOOPS)
def test_two_processes_are_as_one(alone: Path, together: Path, loop: str) -> None:
    one, both = (
        load_file(alone / f"{loop}-0.safetensors"),
        [load_file(together / f"{loop}-{r}.safetensors") for r in (0, 1)],
    )
    for name, weight in one.items():
        assert weight.dtype == torch.float64
        torch.testing.assert_close(both[0][name], weight, rtol=0, atol=1e-12)
        assert torch.equal(both[0][name], both[1][name])
    expected = json.loads((alone / "figures-0.json").read_text())[loop]
    for rank in (0, 1):
        found = json.loads((together / f"figures-{rank}.json").read_text())[loop]
        assert len(found) == len(expected) == 3
        for mine, right in zip(found, expected, strict=True):
            assert mine == pytest.approx(right, rel=1e-6, abs=1e-9)  # some figures are made in float32
    if loop == "grpo, refilled":
        assert any(row["refill/rounds"] > 0 for row in expected)
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
