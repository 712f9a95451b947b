"""The script for a GPU, on the CPU: there the device's numbers are the CPU's, and a difference would be seen."""

import json
import sys
from pathlib import Path

import gpu
import pytest
import torch
from safetensors.torch import save_file


def test_on_the_cpu_nothing_is_apart(tmp_path: Path) -> None:
    gpu.write_model("qwen2", *gpu.TINY[1:], tmp_path / "model")
    row = gpu.compared("DPO", "cpu", tmp_path / "model", tmp_path)
    name, first, last, weights, same = row.strip("| ").split(" | ")
    assert (name, same) == ("DPO", "yes")
    assert [float(cell.split()[0]) for cell in (first, last, weights)] == [0, 0, 0]
    assert len(gpu.figures(tmp_path / "device/run", "policy")) == 3


def test_a_difference_is_seen(tmp_path: Path) -> None:
    assert gpu.farthest({"a": 2.0, "b": 0.0}, {"a": 2.1, "b": 0.0}) == (pytest.approx(0.05), "a")
    assert gpu.farthest({"a": 2.0, "b": 0.0}, {"a": 2.0, "b": 0.002}) == (pytest.approx(0.2), "b")
    for name, value in (("one", 3.0), ("other", 4.0)):
        (tmp_path / name / "model").mkdir(parents=True)
        save_file({"w": torch.full((2, 2), value)}, tmp_path / name / "model/model.safetensors")
    assert gpu.weights_apart(tmp_path / "one", tmp_path / "other") == pytest.approx(1 / 3)


def test_every_loop_has_a_recipe_and_the_texts_are_as_long_as_they_say(tmp_path: Path) -> None:
    from trueward import config

    texts = gpu.write_texts(tmp_path)
    rows = [json.loads(line) for line in texts.read_text(encoding="utf-8").splitlines()]
    assert {(len(r["prompt"].split()), len(r["completion"].split())) for r in rows} == {tuple(gpu.WORDS.values())}
    assert len({r["prompt"] for r in rows}) > 0.9 * gpu.ROWS
    kinds = {}
    for loop, (stage, _) in gpu.LOOPS.items():
        recipe = config.read("tiny", gpu.recipe_changes(loop, tmp_path, texts, "cpu", "float32"))
        kinds[loop] = (stage, recipe.policy.kind)
    assert [kinds[loop] for loop in ("PPO", "GRPO", "DPO")] == [("policy", kind) for kind in ("ppo", "grpo", "dpo")]
    assert set(gpu.BEFORE) == {stage for stage, _ in gpu.LOOPS.values()}


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here, so nothing is missing")
def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gpu.py", "speed"])
    with pytest.raises(SystemExit, match="no CUDA device here"):
        gpu.main()
