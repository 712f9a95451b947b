"""Rollouts by vLLM, on a stand-in that computes what vLLM would: in a process of its own, and at an address."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from vllm_stand_in import Engine, serving

from trueward.batches import Rollout
from trueward.config import EngineConfig, LoraConfig
from trueward.models import heads, lora
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.records import Prompt
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.vllm_colocated import EngineRoom
from trueward.sampling.vllm_engine import VllmEngine

MakeNetwork = Callable[..., Network]
PARAMS = SamplingParams(temperature=0.8, max_new_tokens=5, max_num_seqs=6)


@pytest.fixture
def prompts(toy_prompts: list[Prompt]) -> list[Prompt]:
    return toy_prompts[:5]


def move(network: Network, by: float = 0.05) -> None:
    """Every weight that learns, as a step does."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in lora.own_parameters(network.model).values():
            p.add_(torch.randn(p.shape, generator=draw) * by)


def apart(network: Network, rollout: Rollout) -> float:
    """The largest difference between a rollout's log-probs and the network's own."""
    own = heads.read_logprobs(network.model, rollout.tokens, PARAMS.temperature, 4096)
    return float((own - rollout.logprobs).abs().max())


def colocated(told: list[str] | None = None, params: SamplingParams = PARAMS, **settings: Any) -> VllmEngine:
    config = EngineConfig(kind="vllm", **settings)
    return VllmEngine(params, config, longest=8, tell=(told if told is not None else []).append)


def at(address: str, folder: Path, told: list[str] | None = None, timeout: float = 20.0) -> VllmEngine:
    return colocated(told, address=address, directory=str(folder), timeout=timeout)


@pytest.mark.parametrize("tied", [True, False])
def test_its_rollouts_are_the_policys_own(
    vllm: Engine, make_policy: MakeNetwork, prompts: list[Prompt], tied: bool
) -> None:
    """Tokens with the log-probs that the policy gives them; each answer ends at an end or at the limit."""
    policy, engine = make_policy(tie_word_embeddings=tied), colocated()
    engine.hold(policy)
    for step in range(2):
        engine.sync(policy, step)
        rollout = engine.sample(prompts, Draws(step))
        assert rollout.version == step
        assert [c.prompt for c in rollout.completions] == prompts
        assert apart(policy, rollout) < 1e-4
        ids, lengths = rollout.tokens.ids, rollout.tokens.lengths
        for row, completion in enumerate(rollout.completions):
            assert completion.finished == (int(ids[row, lengths[row] - 1]) == policy.tokenizer.eos_token_id)
            assert completion.finished or rollout.tokens.response_lengths[row] == PARAMS.max_new_tokens
        move(policy)
    assert vllm.settings["logprobs_mode"] == "processed_logprobs"
    assert vllm.settings["dtype"] == "float32"
    folder = engine.folder
    engine.close()
    assert vllm.calls[-1] == "shutdown"
    assert not folder.exists()


def test_the_draws_are_the_rows_own(vllm: Engine, make_policy: MakeNetwork, prompts: list[Prompt]) -> None:
    """So a process that samples a share asks with the same seeds; other draws are other tokens."""
    policy, engine = make_policy(), colocated()
    engine.hold(policy)
    engine.publish(policy, 0)
    whole, other = engine.sample(prompts, Draws(4)), engine.sample(prompts, Draws(5))
    rows = torch.tensor([1, 4])
    part = engine.sample([prompts[i] for i in rows], Draws(4).take(rows, len(prompts)))
    assert part.completions == [whole.completions[i] for i in rows]
    assert other.completions != whole.completions
    assert not engine.sample([], Draws(4)).completions
    engine.close()


def test_tokens_that_the_tokenizer_does_not_know_are_never_written(
    vllm: Engine, make_policy: MakeNetwork, prompts: list[Prompt]
) -> None:
    policy = make_policy(vocab_size=300)
    known = len(policy.tokenizer)
    assert known < 300
    engine = colocated()
    engine.hold(policy)
    engine.publish(policy, 0)
    rollout = engine.sample(prompts, Draws(2))
    assert int(rollout.tokens.ids.max()) < known
    assert apart(policy, rollout) < 1e-4
    engine.close()


FAULTS = {
    "stale": r"^sampler.engine: vLLM does not hold the weights .* \(those after step 1\): .* differs .* by [\d.]+ nats",
    "drops": r"^sampler.engine: vLLM does not hold the weights .* by [\d.]+ nats, on average by [\d.]+",
    "keeps": r"^vLLM can't empty its cache: vLLM keeps the states of the old weights",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_push_that_did_not_take_stops_the_run(vllm: Engine, make_policy: MakeNetwork, fault: str) -> None:
    policy, engine = make_policy(), colocated()
    engine.hold(policy)
    engine.publish(policy, 0)
    vllm.faults.add(fault)
    move(policy)
    with pytest.raises(ValueError, match=FAULTS[fault]) as stopped:
        engine.publish(policy, 1)
    assert "\n" not in str(stopped.value)
    engine.close()


def test_a_small_step_that_did_not_take_is_seen_too(vllm: Engine, make_policy: MakeNetwork) -> None:
    """It hides within the tolerance; but the engine's log-probs are the last ones to the bit."""
    policy, engine = make_policy(), colocated()
    engine.hold(policy)
    engine.publish(policy, 0)
    engine.publish(policy, 0)  # nothing has moved, and nothing has to
    vllm.faults.add("stale")
    move(policy, by=5e-6)
    with pytest.raises(ValueError, match=r"^sampler.engine: vLLM has not taken the weights after step 1: .* moved by"):
        engine.publish(policy, 1)
    engine.close()


def test_of_an_adapted_policy_the_adapter_alone_is_pushed(
    vllm: Engine, make_policy: MakeNetwork, prompts: list[Prompt]
) -> None:
    policy, engine = make_policy(), colocated()
    lora.adapt(policy.model, LoraConfig(rank=3), 0)
    engine.hold(policy)
    for step in range(3):
        move(policy)
        engine.sync(policy, step)
        assert apart(policy, engine.sample(prompts, Draws(step))) < 1e-4
        (folder,) = engine.folder.glob("adapter-*")
        assert all(".lora_" in name for name in load_file(folder / lora.WEIGHTS))
    assert vllm.settings["enable_lora"]
    assert vllm.settings["max_lora_rank"] == 8
    assert "reload" not in vllm.calls
    vllm.faults.add("stale")
    move(policy)
    with pytest.raises(ValueError, match=r"does not hold the weights .* a sampled token differs"):
        engine.publish(policy, 3)
    engine.close()


def test_a_rank_that_vllm_has_no_room_for(make_policy: MakeNetwork) -> None:
    room = EngineRoom(torch.device("cpu"), torch.float32, 20, 4, 0.4, 600)
    with pytest.raises(ValueError, match=r"lora.rank = 600: vLLM takes adapters up to rank 512"):
        room.adapter_room()


def test_an_engine_that_dies_is_started_again_with_the_weights_and_the_seeds(
    vllm: Engine, make_policy: MakeNetwork, prompts: list[Prompt]
) -> None:
    told: list[str] = []
    policy, engine = make_policy(), colocated(told)
    engine.hold(policy)
    engine.publish(policy, 0)
    move(policy)
    engine.publish(policy, 1)
    expected = engine.sample(prompts, Draws(7))
    vllm.deaths = 1
    again = engine.sample(prompts, Draws(7))
    assert again.completions == expected.completions
    assert told == [
        "vLLM can't sample: EngineCore encountered an issue: it is started again and gets the weights after step 1"
    ]
    assert vllm.calls.count("start") == 2
    vllm.deaths = 99
    with pytest.raises(ValueError, match=r"^sampler.engine: vLLM can't .*, 3 times in a row; the same command goes on"):
        engine.sample(prompts, Draws(8))
    engine.close()


def test_between_two_syncs_a_resumed_run_pushes_the_older_weights(
    vllm: Engine, make_policy: MakeNetwork, prompts: list[Prompt]
) -> None:
    """They come out of the checkpoint, under the name `sampler`."""
    policy, engine = make_policy(), colocated(sync_every=2)
    kept = engine.hold(policy)
    older = {name: p.clone() for name, p in kept["sampler"].named_parameters()}
    engine.sync(policy, 0)
    move(policy)
    engine.sync(policy, 1)
    assert engine.sample(prompts, Draws(1)).version == 0
    expected = engine.sample(prompts, Draws(1))
    engine.close()

    resumed = colocated(sync_every=2)
    fresh = resumed.hold(policy)["sampler"]
    with torch.no_grad():
        for name, p in fresh.named_parameters():
            p.copy_(older[name])
    resumed.sync(policy, 1)
    again = resumed.sample(prompts, Draws(1))
    assert (again.completions, again.version) == (expected.completions, 0)
    assert torch.equal(again.logprobs, expected.logprobs)
    resumed.close()


def test_a_server_gives_what_an_engine_of_ones_own_gives(
    vllm: Engine, make_policy: MakeNetwork, prompts: list[Prompt], tmp_path: Path
) -> None:
    policy, own, told = make_policy(vocab_size=300), colocated(), []
    own.hold(policy)
    own.publish(policy, 0)
    expected = own.sample(prompts, Draws(4))
    own.close()
    server = Engine()
    server.start(_started(policy, tmp_path))
    with serving(server) as address:
        engine = at(address, tmp_path / "weights", told)
        engine.hold(policy)
        engine.publish(policy, 0)
        rollout = engine.sample(prompts, Draws(4))
        assert rollout.completions == expected.completions
        assert (rollout.logprobs - expected.logprobs).abs().max() < 1e-5
        move(policy)
        engine.publish(policy, 1)
        assert apart(policy, engine.sample(prompts, Draws(4))) < 1e-4
        server.faults.add("stale")
        move(policy)
        with pytest.raises(ValueError, match="does not hold the weights"):
            engine.publish(policy, 2)
        engine.close()
    assert not told
    assert (tmp_path / "weights" / "model.safetensors").exists()


def _started(policy: Network, tmp_path: Path) -> Path:
    """A model that a server may have been started from: the policy's, with other weights."""
    from trueward.sampling.vllm_files import write_model

    write_model(policy, tmp_path / "served", torch.float32)
    return tmp_path / "served"


def test_adapters_go_to_a_server_under_new_names(
    make_policy: MakeNetwork, prompts: list[Prompt], tmp_path: Path
) -> None:
    policy, server = make_policy(), Engine()
    server.start(_started(policy, tmp_path))
    lora.adapt(policy.model, LoraConfig(rank=2), 0)
    with serving(server) as address:
        engine = at(address, tmp_path / "weights")
        engine.hold(policy)
        for step in range(3):
            move(policy)
            engine.sync(policy, step)
            assert apart(policy, engine.sample(prompts[:4], Draws(step))) < 1e-4
        engine.close()
    assert server.calls.count("unload") == 2


def test_a_slow_server_is_waited_for_up_to_the_limit(
    make_policy: MakeNetwork, prompts: list[Prompt], tmp_path: Path
) -> None:
    policy, server = make_policy(), Engine()
    server.start(_started(policy, tmp_path))
    with serving(server) as address:
        engine = at(address, tmp_path / "weights", timeout=1.0)
        engine.hold(policy)
        engine.publish(policy, 0)
        server.delay = 0.3
        assert len(engine.sample(prompts[:3], Draws(0)).completions) == 3
        server.delay = 1.6
        with pytest.raises(
            ValueError, match=r"has not answered /v1/completions in 1 seconds; .* sampler.engine.timeout"
        ):
            engine.sample(prompts[:1], Draws(0))
        server.delay = 0.0
        engine.close()


def test_a_server_that_died_is_waited_for_and_gets_the_weights_again(
    make_policy: MakeNetwork, prompts: list[Prompt], tmp_path: Path
) -> None:
    policy, first, told = make_policy(), Engine(), []
    first.start(_started(policy, tmp_path))
    move(policy)
    with serving(first) as address:
        engine = at(address, tmp_path / "weights", told)
        engine.hold(policy)
        engine.publish(policy, 5)
        expected = engine.sample(prompts[:4], Draws(3))
    second = Engine()
    second.start(tmp_path / "served")  # from the weights that it was first started with
    back = threading.Event()

    def restart() -> None:
        time.sleep(0.3)
        with serving(second, int(address.rpartition(":")[2])):
            back.wait(30)

    thread = threading.Thread(target=restart)
    thread.start()
    try:
        again = engine.sample(prompts[:4], Draws(3))
    finally:
        back.set()
        thread.join()
    assert again.completions == expected.completions
    assert "reload" in second.calls
    assert "is gone" in told[0]
    assert "gets the weights after step 5" in told[0]
    assert "waiting for a vLLM" in told[1]
    engine.close()


def test_a_server_that_is_not_there_is_asked_for_with_its_command(make_policy: MakeNetwork, tmp_path: Path) -> None:
    policy, told = make_policy(), []
    lora.adapt(policy.model, LoraConfig(rank=9), 0)
    engine = at("http://127.0.0.1:9", tmp_path / "weights", told, timeout=0.2)
    engine.hold(policy)
    with pytest.raises(
        ValueError, match=r"^sampler.engine.address: no vLLM answers at http://127.0.0.1:9 after 0.2"
    ) as end:
        engine.publish(policy, 0)
    command = f"VLLM_SERVER_DEV_MODE=1 VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm serve {tmp_path}/weights"
    assert command in str(end.value)
    assert "--port 9 --dtype float32 --max-model-len 20" in told[0]
    assert "--max-lora-rank 16" in told[0]
    table = json.loads((tmp_path / "weights" / "config.json").read_text())
    assert table["tie_word_embeddings"] is False
    assert "lm_head.weight" in load_file(tmp_path / "weights" / "model.safetensors")
    engine.close()


@pytest.mark.parametrize(
    ("name", "faults", "line"),
    [
        ("another", [], r"serves another, not trueward-policy; start it with: VLLM_SERVER_DEV_MODE=1 vllm serve"),
        ("trueward-policy", ["closed"], r"has no /collective_rpc: start it with VLLM_SERVER_DEV_MODE=1"),
        ("trueward-policy", ["plain"], r"answers without token ids and log-probs .* tested with vLLM 0.32"),
        ("trueward-policy", ["short"], r"an answer stops after 1 of 4 tokens with \d+, which ends none"),
    ],
)
def test_a_server_that_is_another_kind_of_server(
    make_policy: MakeNetwork, tmp_path: Path, name: str, faults: list[str], line: str
) -> None:
    policy, server = make_policy(), Engine(faults=set(faults))
    server.start(_started(policy, tmp_path))
    with serving(server, name=name) as address:
        engine = at(address, tmp_path / "weights")
        engine.hold(policy)
        with pytest.raises(ValueError, match=line) as stopped:
            engine.publish(policy, 0)
        assert "\n" not in str(stopped.value)
        engine.close()


class Led(Fabric):
    """One of two processes that hears from rank 0 without a word being sent."""

    def led(self, act: Any, told: Any = None) -> Any:
        return act() if self.leads else None


def test_of_several_processes_one_pushes_to_the_server(
    make_policy: MakeNetwork, prompts: list[Prompt], tmp_path: Path
) -> None:
    policy, server = make_policy(), Engine()
    server.start(_started(policy, tmp_path))
    with serving(server) as address:
        engines = [at(address, tmp_path / "weights") for _ in range(2)]
        for rank, engine in enumerate(engines):
            engine.fabric = Led(rank, 2)
            engine.hold(policy)
            engine.publish(policy, 0)
        assert server.calls.count("reload") == 1
        both = [engine.sample(prompts[:3], Draws(1)).completions for engine in engines]
        assert both[0] == both[1]
        server.deaths = 1  # who has no say in a restart doesn't wait for one
        with pytest.raises(ValueError, match=r"fails with 500 .*; the same command goes on from the last checkpoint"):
            engines[1].sample(prompts[:1], Draws(1))
        for engine in engines:
            engine.close()


def test_it_sleeps_while_the_policy_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    """On an accelerator: asleep after every rollout, awake for the next push."""
    from trueward.sampling.vllm_colocated import ColocatedVllm

    calls: list[str] = []
    engine = ColocatedVllm(EngineRoom(torch.device("cuda"), torch.bfloat16, 20, 4, 0.4))
    engine.llm = SimpleNamespace(
        sleep=lambda level: calls.append(f"sleep {level}"),
        wake_up=lambda: calls.append("wake"),
        collective_rpc=lambda name, kwargs: calls.append(name),
        reset_prefix_cache=lambda: True,
    )
    engine.sleep()
    engine.sleep()
    engine.load(Path("weights"))
    engine.load(Path("weights"))
    assert calls == ["sleep 1", "wake", "reload_weights", "reload_weights"]


def test_a_table_is_refused(make_policy: MakeNetwork) -> None:
    engine = colocated()
    network = make_policy()
    object.__setattr__(network.model.config, "model_type", "tabular")
    engine.hold(network)
    with pytest.raises(ValueError, match="a table, which only the local engine reads"):
        engine.publish(network, 0)


def test_what_vllm_says_when_it_does_not_start_is_one_line(
    vllm: Engine, make_policy: MakeNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(folder: Path, **settings: Any) -> None:
        raise RuntimeError("Engine core initialization failed. See root cause above.\nFailed core proc(s): {}")

    monkeypatch.setattr(vllm, "start", start)
    policy, engine = make_policy(), colocated()
    engine.hold(policy)
    with pytest.raises(ValueError, match=r"^vLLM doesn't start: Engine core [^\n]+; its own lines above say more$"):
        engine.publish(policy, 0)
    engine.close()


def test_its_processes_see_no_launcher_and_ones_own_device(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from trueward.sampling.vllm_colocated import _surroundings

    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    monkeypatch.delenv("VLLM_LOGGING_LEVEL", raising=False)
    with _surroundings(torch.device("cuda", 1)):
        assert "RANK" not in os.environ
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "6"
        assert os.environ["VLLM_LOGGING_LEVEL"] == "ERROR"
    assert os.environ["RANK"] == "1"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,6"
    assert "VLLM_LOGGING_LEVEL" not in os.environ
