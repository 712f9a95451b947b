"""runtime.shard: several processes with a part each of what learns end in the weights of one process that has all of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trueward import config
from trueward.batches import Tokens
from trueward.models.sharded import refuse
from trueward.models.tabular import TabularPolicy
from trueward.parallel.fabric import ALONE, Fabric
from trueward.pipeline.surroundings import shards
from trueward.training.journal import read_log
from trueward.training.policy_loss import CustomPolicyLoss

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
AT_TWO = (
    "ppo, lora",
    "ppo, from older weights",
    "ppo, with demonstrations and importance weights",
    "grpo, refilled",
    "grpo, anchored in the loss",
)
FEW, STEPS, SHORT = 3, 10, 2
CASES = [(loop, world, FEW) for world in (2, 4) for loop in LOOPS]
CASES += [(loop, 2, STEPS) for loop in LOOPS] + [(loop, 2, SHORT) for loop in AT_TWO]
SINGLE = {"sft": 1e-6, "reward_model": 1e-6, "dpo": 1e-6, "sft, lora": 1e-5}
SINGLE |= {"sft, the top layer": 1e-6, "reward_model, the top layer": 1e-6}
"""In float32. With adapters two processes with whole networks are 1.3e-6 away from one, too: Adam enlarges small slopes."""


@pytest.fixture(scope="module")
def folder(start_processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return start_processes("sharded_steps.py", tmp_path_factory.mktemp("sharded"), 1, 2, 4, timeout=900)


def weights(folder: Path, world: int, name: str) -> list[dict[str, torch.Tensor]]:
    """By rank."""
    return [load_file(folder / str(world) / f"{name}-{rank}.safetensors") for rank in range(world)]


def found(folder: Path, world: int, loop: str) -> list[dict[str, Any]]:
    """By rank."""
    return [json.loads((folder / str(world) / f"found-{rank}.json").read_text())[loop] for rank in range(world)]


def close(folder: Path, world: int, name: str, bound: float) -> None:
    (one,), every = weights(folder, 1, name), weights(folder, world, name)
    for key, weight in one.items():
        torch.testing.assert_close(every[0][key], weight, rtol=0, atol=bound)
        assert all(torch.equal(mine[key], every[0][key]) for mine in every)


@pytest.mark.parametrize(("loop", "world", "step"), CASES)
def test_parts_learn_what_one_process_does(folder: Path, loop: str, world: int, step: int) -> None:
    """6 rows a step, in minibatches of 3: uneven shares, and of 4 processes some have none and make their passes too."""
    close(folder, world, f"{loop}-{step}", 1e-12)
    (one,) = found(folder, 1, loop)
    for mine in found(folder, world, loop):
        assert mine["as_a_whole"], "the loop's own networks have the weights that were learned"
        for row, right in zip(mine["figures"], one["figures"], strict=False):
            assert row == pytest.approx(right, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("world", [2, 4])
@pytest.mark.parametrize("loop", [*SINGLE, "sft, checkpointing"])
def test_in_float32_on_the_packed_path_too(folder: Path, loop: str, world: int) -> None:
    if loop == "sft, checkpointing":
        close(folder, world, f"sft, float32, again-{FEW}", 1e-6)
        return
    close(folder, world, f"{loop}, float32-{FEW}", SINGLE[loop])


def test_each_holds_its_part_alone(folder: Path) -> None:
    """Between two steps: numbers of weights that learn, the reference's not counted."""
    whole = sum(w.numel() for w in weights(folder, 1, f"sft-{FEW}")[0].values())
    for world in (2, 4):
        held = [mine["held"] for mine in found(folder, world, "sft")]
        assert sum(held) == whole
        assert max(held) <= whole / world + 1000  # rows don't divide evenly


def test_stopped_and_resumed_by_another_number_of_processes(start_processes: Processes, tmp_path: Path) -> None:
    """2 processes with parts, then one alone, then 4 with parts: the weights of one that was never stopped; evaluations too."""
    home = start_processes("sharded_resume.py", tmp_path / "resume", 2, 1, 4)
    mine, right = (load_file(home / run / "whole-7.safetensors") for run in ("run", "straight"))
    for name, weight in right.items():
        torch.testing.assert_close(mine[name], weight, rtol=0, atol=1e-12)
    every, expected = (read_log(home / run / "evaluations.jsonl") for run in ("run", "straight"))
    assert [row["step"] for row in every] == [row["step"] for row in expected] == [0, 2, 4, 6, 7]
    for row, other in zip(every, expected, strict=True):
        assert row["summary"] == pytest.approx(other["summary"], rel=1e-12)
    kept, whole = (load_file(home / run / "best" / "model.safetensors") for run in ("run", "straight"))
    assert {n: w.shape for n, w in kept.items()} == {n: w.shape for n, w in whole.items()}
    checkpoint = home / "run" / "checkpoints" / "step-0000007"
    assert sorted(p.name for p in checkpoint.iterdir()) == sorted(
        p.name for p in (home / "straight" / "checkpoints" / "step-0000007").iterdir()
    )


def test_what_has_no_layers_is_refused_before_training() -> None:
    recipe = config.read("nano", ["runtime.shard=full"])
    assert not shards(config.read("nano"), Fabric(0, 2))
    with pytest.raises(ValueError, match=r'^runtime\.shard = "full": trueward:nano is a table'):
        shards(recipe, Fabric(0, 2))
    with pytest.raises(ValueError, match=r'^runtime\.shard = "full": a table has no layers'):
        refuse(TabularPolicy(5, 1, 8))


def test_a_sampler_that_runs_ahead_is_refused_before_training() -> None:
    recipe = config.read(
        "tiny", ["runtime.shard=full", "sampler.engine.max_staleness=1", "policy.importance_sampling_cap=2"]
    )
    with pytest.raises(ValueError, match=r"with sampler\.engine\.max_staleness they would have to be while they learn"):
        shards(recipe, Fabric(0, 2))


def test_one_process_says_that_it_has_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    assert not shards(config.read("tiny", ["runtime.shard=full"]), ALONE)
    assert 'runtime.shard = "full" has no effect in one process' in "".join(capsys.readouterr())
    assert shards(config.read("tiny", ["runtime.shard=full"]), Fabric(1, 2))


def test_a_budget_that_changes_in_one_process_alone_is_refused() -> None:
    with pytest.raises(ValueError, match=r'micro_batch_tokens = "auto": with shard = "full" a process'):
        config.read("tiny", ["runtime.shard=full", "runtime.micro_batch_tokens=auto"])


def test_all_get_as_many_micro_batches_as_the_one_that_needs_most() -> None:
    lengths = torch.tensor([60, 58, 57, 56, 4, 3, 2])
    for world in (2, 3, 8):
        fabrics = [Fabric(rank, world, is_sharded=True) for rank in range(world)]
        every = [fabric.micro_batches(lengths, 60) for fabric in fabrics]
        assert len({len(groups) for groups in every}) == 1
        assert sorted(int(i) for groups in every for rows in groups for i in rows) == list(range(7))


def test_a_loss_of_the_users_is_not_asked_about_no_rows() -> None:
    """Its micro-batch without rows still has a gradient, of nothing, so that the pass is made."""
    loss = CustomPolicyLoss("operator:truediv")  # which takes no four tensors
    logprobs = torch.zeros(0, 2, requires_grad=True)
    by_token, figures = loss(logprobs, torch.zeros(0, 2), torch.zeros(0, 2), torch.zeros(0, 2, dtype=torch.bool))
    by_token.sum().backward()
    assert logprobs.grad is not None
    assert {"ratio", "clipped", "kl"} == figures.keys()
    with pytest.raises(TypeError):
        loss(*(torch.zeros(1, 2) for _ in range(3)), torch.ones(1, 2, dtype=torch.bool))


def test_without_rows_tokens_are_as_wide_as_the_row_that_is_read_instead() -> None:
    batch = Tokens.collate([([1, 7], [8, 9]), ([1], [8])], pad=0)
    assert batch.take(torch.zeros(0, dtype=torch.long)).ids.shape == (0, 2)
