"""Rollouts that are sampled elsewhere: those of the local engine to the bit, whoever dies; every push is checked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from trueward import config
from trueward.batches import Rollout
from trueward.config import LoraConfig, SamplerConfig
from trueward.models import loading
from trueward.models.derived import trainable
from trueward.models.lora import own_parameters
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.pipeline.rollouts import copied_from, shared_rollouts
from trueward.pipeline.sampler_worker import SamplerWorker
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams
from trueward.training.env import Env, Remote

PARAMS = SamplingParams(1.0, 8, 16)
PROMPTS = [Prompt(text=text) for text in ("the film", "a", "it is", "the new film", "one more film")]
DRAWS = Draws.purpose(3, "rollout", 1)


class Here:
    """Samplers in this process. `dies`: calls after which a new one takes the place of the one that was asked."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.workers = [SamplerWorker(1) for _ in range(count)]
        self.ids = itertools.count(1)
        self.processes = [next(self.ids) for _ in range(count)]
        self.dies: set[int] = set()
        self.spoils: set[int] = set()
        self.puts = 0

    def put(self, weights: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.puts += 1
        return {name: each.copy() for name, each in weights.items()}

    def _ask(self, number: int, method: str, request: Any, weights: Any) -> Any:
        if number in self.dies:
            self.dies.remove(number)
            self.workers[number].close()
            self.workers[number], self.processes[number] = SamplerWorker(1), next(self.ids)
        if number in self.spoils:
            weights = {name: each + np.float32(0.1) * np.sign(each) for name, each in weights.items()}
        reply = getattr(self.workers[number], method)(request, weights)
        return {**reply, "process": self.processes[number]}

    def load(self, request: Any, weights: Any) -> list[Any]:
        return [self._ask(i, "load", request, weights) for i in range(self.count)]

    def sample(self, requests: Mapping[int, Any], weights: Any) -> dict[int, Any]:
        return {i: self._ask(i, "sample", request, weights) for i, request in requests.items()}

    def close(self) -> None:
        for worker in self.workers:
            worker.close()


@pytest.fixture
def samplers() -> Iterator[Here]:
    made = Here(2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's directory with its recipe and its SFT policy."""
    place = tmp_path_factory.mktemp("home") / "run"
    (place / "policy").mkdir(parents=True)
    (place / "recipe.toml").write_text(config.read("tiny", ["runtime.threads=1"]).toml())
    loading.save(loading.causal("trueward:tiny", 0, torch.device("cpu")), place / "sft" / "model")
    return place


def policy_of(run: Path, lora: LoraConfig | None = None) -> tuple[Network, dict[str, Any]]:
    """A policy that has learned something, and how others get a copy of it."""
    copies = copied_from(run / "policy", run / "sft" / "model", lora, 5)
    network = trainable(Env().load(run / "sft" / "model"), lora, copies["seed"])
    moved(network)
    return network, copies


def moved(network: Network) -> None:
    with torch.no_grad():
        for i, weight in enumerate(own_parameters(network.model).values()):
            weight.add_(0.05 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(i)))


def equal(one: Rollout, other: Rollout) -> None:
    assert torch.equal(one.tokens.ids, other.tokens.ids)
    assert torch.equal(one.logprobs, other.logprobs)
    assert list(one.completions) == list(other.completions)


def engine_of(policy: Network, copies: dict[str, Any], samplers: Here, *settings: str) -> Any:
    recipe = config.read("tiny", ["sampler.max_new_tokens=8", "sampler.engine.max_num_seqs=16", *settings])
    told: list[str] = []
    env = replace(Env(), remote=Remote(samplers=samplers, has_samplers=True))
    env.progress.tell = told.append  # type: ignore[method-assign]
    return shared_rollouts(recipe.sampler, PROMPTS, policy, env, copies), told


def local(policy: Network, samplers: int) -> Rollout:
    """What so many processes of the local engine sample, each every n-th row."""
    rows: list[Any] = [None] * len(PROMPTS)
    for i in range(samplers):
        mine = Fabric(i, samplers).share(len(PROMPTS))
        engine = LocalEngine(PARAMS)
        engine.hold(policy)
        part = engine.sample([PROMPTS[j] for j in mine.tolist()], DRAWS.take(mine, len(PROMPTS)))
        for j, row in enumerate(mine.tolist()):
            rows[row] = (part, j)
    from trueward.sampling.shared import packed, unpacked

    pad = int(rows[0][0].tokens.ids.new_zeros(1))
    return unpacked([packed(part, j) for part, j in rows], PROMPTS, 0, pad)


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=4)], ids=["whole", "adapter"])
def test_it_is_what_processes_with_the_same_rows_sample(run: Path, samplers: Here, lora: LoraConfig | None) -> None:
    policy, copies = policy_of(run, lora)
    engine, told = engine_of(policy, copies, samplers)
    engine.hold(policy)
    for step in range(2):
        engine.sync(policy, step)
        rollout = engine.sample(PROMPTS, DRAWS)
        right = local(policy, 2)
        assert [c.response for c in rollout.completions] == [c.response for c in right.completions]
        mask = rollout.tokens.response_mask
        assert torch.equal(rollout.logprobs[mask], right.logprobs[right.tokens.response_mask])
        assert rollout.version == step
        moved(policy)
    assert samplers.puts == 2, "a push a sync, whatever the number of samplers"
    assert engine.engine.bytes == sum(p.numel() * 4 for p in own_parameters(policy.model).values())
    assert not told


@pytest.mark.parametrize("moment", ["push", "sample"])
def test_who_dies_is_asked_again(run: Path, samplers: Here, moment: str) -> None:
    """It gets the weights with what it is asked, and reads the fixed tokens again."""
    policy, copies = policy_of(run)
    engine, told = engine_of(policy, copies, samplers)
    engine.hold(policy)
    engine.sync(policy, 0)
    right = engine.sample(PROMPTS, DRAWS)
    if moment == "push":
        samplers.dies.add(1)
        engine.sync(policy, 1)
    else:
        engine.sync(policy, 1)
        samplers.dies.add(1)
    equal(engine.sample(PROMPTS, DRAWS), right)
    assert told == ["sampler 1 had ended: it was started again, and got the weights after step 1"]


def test_a_sampler_with_other_weights_ends_the_run(run: Path, samplers: Here) -> None:
    policy, copies = policy_of(run)
    engine, _ = engine_of(policy, copies, samplers)
    engine.hold(policy)
    samplers.spoils.add(1)
    with pytest.raises(ValueError, match=r"^sampler.engine: sampler 1 does not hold the weights [^\n]+$"):
        engine.sync(policy, 0)


def test_one_that_is_restarted_with_other_weights_does_too(run: Path, samplers: Here) -> None:
    policy, copies = policy_of(run)
    engine, _ = engine_of(policy, copies, samplers)
    engine.hold(policy)
    engine.sync(policy, 0)
    samplers.dies.add(0)
    samplers.spoils.add(0)
    with pytest.raises(ValueError, match=r"^sampler.engine: sampler 0 does not hold"):
        engine.sample(PROMPTS, DRAWS)


def test_versions_of_another_engine_are_other_ones(run: Path, samplers: Here) -> None:
    """A run that goes on from a checkpoint counts its steps as before; samplers live on."""
    for _ in range(2):
        policy, copies = policy_of(run)
        engine, _ = engine_of(policy, copies, samplers)
        engine.hold(policy)
        engine.sync(policy, 3)
        engine.sample(PROMPTS, DRAWS)
    assert [worker.pushes for worker in samplers.workers] == [2, 2]


@pytest.mark.parametrize("setting", ["sync_every=2", "max_staleness=1"])
def test_older_weights_are_sampled_from_as_by_the_local_engine(run: Path, samplers: Here, setting: str) -> None:
    """One sampler and one process: the same batches, so the same bits."""
    alone, results = Here(1), []
    for pool in (alone, None):
        policy, copies = policy_of(run)
        if pool is None:
            recipe = config.read("tiny", ["policy.importance_sampling_cap=2", f"sampler.engine.{setting}",
                                          "sampler.max_new_tokens=8", "sampler.engine.max_num_seqs=16"])  # fmt: skip
            engine: Any = shared_rollouts(recipe.sampler, PROMPTS, policy, Env(), {})
        else:
            engine, _ = engine_of(policy, copies, pool, "policy.importance_sampling_cap=2", f"sampler.engine.{setting}")
        held = engine.hold(policy)
        assert held
        engine.plan(lambda step: (PROMPTS, Draws.purpose(3, "rollout", step)), 4)
        rollouts = []
        for step in range(4):
            engine.sync(policy, step)
            rollouts.append(engine.sample(PROMPTS, Draws.purpose(3, "rollout", step)))
            moved(policy)
        engine.close()
        results.append(rollouts)
    for mine, theirs in zip(*results, strict=True):
        equal(mine, theirs)
        assert mine.version == theirs.version
    alone.close()


def test_fewer_rows_than_samplers(run: Path, samplers: Here) -> None:
    policy, copies = policy_of(run)
    engine, _ = engine_of(policy, copies, samplers)
    engine.hold(policy)
    engine.sync(policy, 0)
    assert len(engine.sample(PROMPTS[:1], DRAWS).completions) == 1
    assert len(engine.sample([], DRAWS).completions) == 0


def test_weights_of_another_network_are_refused(run: Path) -> None:
    worker = SamplerWorker(1)
    _, copies = policy_of(run)
    request = {"policy": {**copies, "sampler": SamplerConfig().model_dump(mode="json"), "longest": 4}, "version": "a 1"}
    with pytest.raises(ValueError, match="the weights of another network"):
        worker.load({**request, "fixed": []}, {"head": np.zeros(2, dtype=np.float32)})
    worker.close()
