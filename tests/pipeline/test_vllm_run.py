"""Runs whose rollouts come from vLLM: a stand-in of it, in the pipeline."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from trueward import config
from trueward.artifacts import Artifact
from trueward.config import EngineConfig
from trueward.models import loading
from trueward.pipeline.announcements import announcements
from trueward.pipeline.rollouts import rollout_engine
from trueward.pipeline.surroundings import with_precision
from trueward.records import Prompt
from trueward.sampling.ahead import AheadEngine
from trueward.sampling.engine import LocalEngine
from trueward.training.env import Env, Trial

sys.path.insert(0, str(Path(__file__).parents[1] / "sampling"))

from vllm_stand_in import Engine, vllm

__all__ = ["vllm"]
CAP = "policy.importance_sampling_cap=2"
BY_VLLM = ("sampler.engine.kind=vllm", CAP)


def test_a_run_and_the_same_run_ahead(
    vllm: Engine, climb: Callable[..., Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns from vLLM's tokens, weighed; every step's weights are pushed; vLLM is ended with the stage."""
    kinds = {"ppo": (), "ahead": ("policy.kind=grpo", "policy.group.size=4", "sampler.engine.max_staleness=1")}
    for name, changes in kinds.items():
        vllm.calls.clear()
        climb(tmp_path, name, *BY_VLLM, *changes, "sampler.max_new_tokens=5", until="policy")
        rows = [json.loads(row) for row in (tmp_path / name / "policy/metrics.jsonl").read_text().splitlines()]
        assert len(rows) == 3
        assert rows[0]["importance/log_ratio"] < 1e-4
        assert (rows[2]["importance/log_ratio"] > 1e-4) == (name == "ahead")
        assert vllm.calls.count("start") == 1
        assert vllm.calls.count("reload") == {"ppo": 3, "ahead": 2}[name]
        assert vllm.calls[-1] == "shutdown"


def test_a_run_ends_in_one_line_and_ends_vllm_too(vllm: Engine, climb: Callable[..., Artifact], tmp_path: Path) -> None:
    vllm.faults.add("drops")
    with pytest.raises(ValueError, match=r"^sampler.engine: vLLM does not hold the weights") as stopped:
        climb(tmp_path, "drops", *BY_VLLM, "policy.learning_rate=0.05", until="policy")
    assert "\n" not in str(stopped.value)
    assert vllm.calls[-1] == "shutdown"


def test_what_it_cannot_promise_is_said_before(tmp_path: Path) -> None:
    (line,) = announcements(config.read("tiny", BY_VLLM), tmp_path)
    assert "resumed is another draw" in line
    assert not announcements(config.read("tiny"), tmp_path)


REFUSED = {
    ("sampler.engine.kind=vllm",): r"so set policy.importance_sampling_cap",
    ("sampler.engine.max_staleness=1",): r"sampler.engine.max_staleness = 1: .* policy.importance_sampling_cap",
    (*BY_VLLM, "policy.kind=dpo"): r"sampler.engine.kind: dpo has no rollouts that weights make up for",
    (*BY_VLLM, "sampler.engine.quantize=int8"): r"int8. is the local engine's",
    (
        *BY_VLLM,
        "sampler.engine.address=http://127.0.0.1:8000",
    ): r"directory: weights go to a server through a directory",
    (*BY_VLLM, "sampler.engine.address=127.0.0.1:8000"): r"sampler.engine.address",
    (CAP, "sampler.engine.max_staleness=1", "sampler.engine.sync_every=2"): r"use one of them",
}


@pytest.mark.parametrize("changes", REFUSED)
def test_settings_that_do_not_go_together(changes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=REFUSED[changes]):
        config.read("tiny", changes)


def test_a_table_is_refused_before_anything_runs() -> None:
    with pytest.raises(ValueError, match=r"trueward:nano is a table, which only the local engine reads"):
        with_precision(config.read("nano", BY_VLLM))


def test_settings_of_vllm_that_nothing_reads_are_named() -> None:
    recipe = config.read("tiny", ["sampler.engine.directory=/x", "sampler.engine.gpu_memory_utilization=0.5"])
    assert len(config.notes(recipe)) == 2


def test_of_a_server_no_fingerprint_knows() -> None:
    """Nor of a setting that a run has at its default, so older runs go on."""
    from trueward.pipeline.parts import Parts

    there = [*BY_VLLM, "sampler.engine.address=http://127.0.0.1:8000", "sampler.engine.directory=/x"]
    own, server = (Parts(config.read("tiny", changes)).optimising["sampler"] for changes in (BY_VLLM, there))
    assert own == server
    assert set(EngineConfig().model_dump()) == {"kind", "max_num_seqs", "sync_every", "quantize"}


def test_which_engine_a_recipe_means(tmp_path: Path) -> None:
    policy, prompts = loading.causal("trueward:tiny", 0, Env().device), [Prompt(text="the film")]
    ahead = config.read("tiny", [CAP, "sampler.engine.max_staleness=2"]).sampler
    engine = rollout_engine(ahead, prompts, policy, Env())
    assert isinstance(engine, AheadEngine)
    assert engine.staleness == 2
    engine.close()
    assert isinstance(rollout_engine(ahead, prompts, policy, replace(Env(), trial=Trial(1, 1))), LocalEngine)
