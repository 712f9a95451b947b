"""A whole run on a device that isn't there: stages, an ensemble, relabelling, adapters, checkpoints, a resume, the report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from pretend import listed, pretending

from trueward import config, pipeline
from trueward.progress import Progress

SMALL = (
    "runtime.threads=1",
    "runtime.checkpoint_seconds=0",
    "sft.epochs=0.01",
    "comparisons.count=24",
    "policy.batch_size=6",
    "policy.minibatches=2",
    "sampler.max_new_tokens=6",
    "evaluation.final_prompts=6",
    "evaluation.step_prompts=6",
    "evaluation.every=2",
    "evaluation.control=never",
    "policy.steps=2",
    "policy.relabel.every=1",
    "policy.relabel.comparisons=6",
    "lora.rank=2",
    "runtime.device=cuda",
)


class BrokenOffError(Exception):
    """Raised in the middle of a run."""


class Breaking(Progress):
    """Breaks the run off after the first step of the policy's loop."""

    what = ""

    def start(self, what: str, total: int) -> None:
        self.what = what

    def at(self, done: int, note: str = "") -> None:
        if self.what.startswith("ppo,") and done == 2:
            raise BrokenOffError


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_run_that_is_broken_off_and_resumed(tmp_path: Path) -> None:
    recipe = config.read("tiny", SMALL)
    with pretending() as device:
        with pytest.raises(BrokenOffError):
            pipeline.run_pipeline(recipe, tmp_path, "run", Breaking())
        assert device.launches > 1000
        pipeline.run_pipeline(recipe, tmp_path, "run", Progress())
    assert not device.faults, listed(device.faults)
    steps = rows(tmp_path / "run" / "policy" / "metrics.jsonl")
    assert [row["step"] for row in steps] == [1, 2]
    assert all(math.isfinite(row["objective/kl"]) for row in steps)
    report = json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))
    assert math.isfinite(report["policies"]["policy"]["truth"])
