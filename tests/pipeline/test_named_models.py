"""Models that a recipe names by directory: missing, nothing is left behind; damaged, the file is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from trueward.models import run_paths
from trueward.pipeline.model_files import model_files


@pytest.mark.parametrize("key", ["model.base", "sft.model", "reward.model", "evaluation.truths"])
def test_a_missing_model_leaves_nothing_behind(
    command: Callable[..., tuple[int, str, str]], small: Callable[..., list[str]], tmp_path: Path, key: str
) -> None:
    missing = str(tmp_path / "gone")
    code, _, err = command(*small(f'{key}=["model:{missing}"]' if key == "evaluation.truths" else f"{key}={missing}"),
                           "--out", "runs/mine")  # fmt: skip
    assert code == 2
    assert f"{missing}: no such model directory" in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_model_of_another_run_is_not_taken_over(baseline: Path, tmp_path: Path) -> None:
    shutil.copytree(baseline, tmp_path / "run")
    model = tmp_path / "run" / "sft" / "model"
    assert model_files(str(model))
    weights = model / "model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    for read in (model_files, run_paths.model_path):
        with pytest.raises(ValueError, match=r"model/model\.safetensors is damaged"):
            read(str(model))
    with pytest.raises(ValueError, match=r"model/model\.safetensors is damaged"):
        run_paths.model_path(str(tmp_path / "run" / "sft"))
