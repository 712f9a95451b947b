"""`trueward profile`: beats that add up, counts that are right, nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules import module as modules

from trueward import config
from trueward.batches import Step
from trueward.models import heads
from trueward.pipeline import profile
from trueward.pipeline.flops import flop_counter
from trueward.pipeline.profiler import watching
from trueward.pipeline.stage_clock import BEATS, Clock, Counts
from trueward.progress import Progress
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.tracking import beats

LITTLE = (
    "runtime.threads=1",
    "comparisons.count=60",
    "policy.batch_size=16",
    "policy.epochs=2",
    "policy.minibatches=4",
    "sampler.max_new_tokens=8",
)


def test_beats_by_hand() -> None:
    """A loop of two steps on a clock that is set by hand."""
    at = [0.0]

    def passes(seconds: float) -> None:
        at[0] += seconds

    operations = [0]
    clock = Clock(lambda: at[0], lambda: operations[0])

    def steps() -> Iterator[Step]:
        for number in range(1, 100):
            with clock.during("act"):
                passes(3)
                operations[0] += 100
            with clock.during("judge"):
                passes(2)
                with clock.during("act"):  # within another: not told apart
                    passes(1)
            passes(0.5)
            operations[0] += 7  # a product outside of every pass
            clock.begin("learn")
            passes(4)
            operations[0] += 30
            clock.after_step()
            passes(0.25)
            yield Step(number, {})

    with clock.stage("policy"):
        passes(10)
        for _ in clock.loop(islice(steps(), 2), 20):
            passes(0.125)
        passes(1)
    (counts,) = clock.stages
    expected = {"act": 6, "judge": 6, "credit": 1, "learn": 8, "hand over": 0.75, "evaluate": 0, "rest": 11}
    assert counts.beats == expected
    assert counts.seconds == sum(expected.values())
    assert (counts.steps, counts.total) == (2, 20)
    assert counts.flops == {"act": 200, "judge": 14, "learn": 60, "evaluate": 0}


@pytest.fixture(scope="module")
def measured() -> tuple[dict[str, Any], list[Any]]:
    """A profile of the small recipe, and the rollouts that its policy stage wrote."""
    rollouts: list[Any] = []
    inner, measure = sampler.sample, profile.measure
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "sample", lambda *a, **k: (rollouts.append(inner(*a, **k)), rollouts[-1])[1])
        patch.setattr(
            profile, "measure", lambda *a: (rollouts.clear(), measure(*a))
        )  # the last time is the one that is timed
        return profile.profile("tiny", [*LITTLE], 2, Progress()), rollouts


def test_every_stage_and_its_beats_add_up(measured: tuple[dict[str, Any], list[Any]]) -> None:
    found, _ = measured
    names = [row["stage"] for row in found["stages"]]
    assert names == ["prepare", "sft", "comparisons", "reward_model", "policy", "evaluation"]
    for row in found["stages"]:
        assert set(row["beats"]) == set(BEATS)
        assert sum(row["beats"].values()) == pytest.approx(row["seconds"], abs=1e-3)
        assert min(row["beats"].values()) >= 0
        assert all(share > 0 for share in row["share_of_limit"].values())
    by = {row["stage"]: row for row in found["stages"]}
    assert (by["policy"]["steps"], by["policy"]["of_steps"]) == (2, 20)
    assert by["sft"]["steps"] == 2
    assert all(by["policy"]["beats"][beat] > 0 for beat in BEATS)
    assert found["peak_memory_mb"] > 100
    assert found["machine"]["gflops"] > 0
    assert found["advice"]


def test_counts_are_those_of_the_loop(measured: tuple[dict[str, Any], list[Any]]) -> None:
    """PPO: each of 2 steps trains policy and value network in 2 epochs of 4 minibatches, and reads each once before."""
    found, rollouts = measured
    row = next(row for row in found["stages"] if row["stage"] == "policy")
    assert row["passes"]["trained"] == 2 * 2 * 2 * 4
    assert row["tokens"]["computed"] >= row["tokens"]["needed"] > row["tokens"]["written"] > 0
    assert 0 <= row["padding"] < 0.5
    stages = [r["tokens"]["written"] for r in found["stages"]]
    assert sum(stages) == sum(int(r.tokens.response_lengths.sum()) for r in rollouts)


def test_a_loops_tokens_and_passes(make_policy: Callable[..., Any], toy_prompts: list[Any]) -> None:
    """What the sampler and a network were given, counted by hand."""
    network = make_policy()
    counter = flop_counter()
    clock = Clock(flops=counter.get_total_flops)
    with counter, watching(clock), clock.stage("policy"):
        settings = sampler.SamplingParams(max_new_tokens=6, max_num_seqs=4)
        rollout = sampler.sample(network, toy_prompts, settings, Draws(1))
        tokens = rollout.tokens
        padded = tokens.ids
        with torch.no_grad():
            network.model.base_model(input_ids=padded)
        network.model.base_model(input_ids=padded[:3]).last_hidden_state.sum().backward()
    (counts,) = clock.stages
    assert (counts.forwards, counts.trained) == (1, 1)
    assert counts.computed["judge"] == padded.numel()
    assert counts.tokens["judge"] == int(tokens.lengths.sum())
    assert counts.tokens["learn"] == int(tokens.lengths[:3].sum())
    assert counts.written == int(tokens.response_lengths.sum())
    assert counts.tokens["act"] == int(tokens.lengths.sum()) - len(tokens), "the last token of each is never read"
    weights = sum(p.numel() for n, p in network.model.named_parameters() if "proj" in n)
    config, (rows, width) = network.model.config, padded.shape
    square = 2 * width**2 * config.num_hidden_layers * config.num_attention_heads * config.head_dim  # of one row
    assert counts.flops["judge"] == 2 * weights * padded.numel() + 2 * square * rows
    # backward: once for the input's gradient, once for the weights'; and of attention the scores again beside four products
    assert counts.flops["learn"] == 3 * 2 * weights * padded[:3].numel() + (2 + 5) * square * 3
    everything = sum(p.numel() for p in network.model.parameters())  # the head is the embedding
    assert counts.read["act"] == 4 * everything * counts.decodes
    assert counts.beats["act"] > 0
    assert counts.beats["judge"] > 0
    assert counts.beats["learn"] > 0


def test_nothing_is_left_behind() -> None:
    before = beats._watcher
    with suppress(KeyError), watching(clock := Clock()):
        assert beats._watcher is clock
        assert modules._global_forward_pre_hooks
        raise KeyError
    assert beats._watcher is before
    assert not modules._global_forward_pre_hooks
    assert not modules._global_forward_hooks


def test_operations_of_one_step_stand_for_all() -> None:
    counted, timed = Counts("policy"), Counts("policy")
    counted.flops |= {"learn": 600, "judge": 40}
    counted.computed |= {"learn": 30, "judge": 10}
    timed.computed |= {"learn": 90, "judge": 10}
    assert profile.scaled(counted, timed) == {"act": 0, "judge": 40, "learn": 1800, "evaluate": 0}


def test_torchs_profiler_sees_the_beats(make_policy: Callable[..., Any], toy_prompts: list[Any]) -> None:
    network = make_policy()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as traced:
        rollout = sampler.sample(network, toy_prompts, sampler.SamplingParams(max_new_tokens=2), Draws(1))
        heads.read_logprobs(network.model, rollout.tokens, 1.0, 512)
    spans = {row.key: row.count for row in traced.key_averages() if row.key.startswith("trueward/")}
    assert spans.keys() == {"trueward/act", "trueward/judge", "trueward/forward"}
    assert spans["trueward/act"] == spans["trueward/judge"] == 1


def test_a_runs_rungs_are_used(baseline: Path) -> None:
    found = profile.profile(str(baseline), [], 1, Progress())
    by = {row["stage"]: row for row in found["stages"]}
    assert by["sft"]["steps"] == by["reward_model"]["steps"] == 0
    assert by["policy"]["steps"] == 1
    assert found["run"] == str(baseline)


@pytest.mark.parametrize(
    ("setting", "counts", "said"),
    [
        ("sampler.engine.max_num_seqs=4", {"act": 8.0, "learn": 2.0}, "raise sampler.engine.max_num_seqs"),
        ("sampler.engine.max_num_seqs=128", {"act": 8.0, "learn": 2.0}, 'sampler.engine.quantize = "bfloat16"'),
        ("sampler.engine.max_num_seqs=128", {"act": 1.0, "learn": 5.0, "hand over": 4.0}, "runtime.checkpoint_seconds"),
        ("sampler.engine.max_num_seqs=128", {"act": 1.0, "learn": 9.0}, "padding"),
    ],
)
def test_advice_is_drawn_from_the_numbers(setting: str, counts: dict[str, float], said: str) -> None:
    clock = Clock()
    with clock.stage("policy"):
        made = clock.counts
    made.beats |= counts
    made.seconds = sum(made.beats.values())
    made.decodes, made.read["act"] = 10, 10 * (6e8 if "bfloat16" in said else 6e6)
    made.tokens["learn"], made.computed["learn"] = (50, 100) if said == "padding" else (99, 100)
    recipe = config.read("tiny", [setting])
    limits = {"gflops": 100.0, "gb_per_s": 10.0, "cores": 2, "threads": 2}
    found = profile.advice(recipe, [made], [profile._row(made, limits)], limits)
    assert len(found) == 1
    assert said in found[0]


def test_the_command(command: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = command("profile", "tiny", "--json", "--steps", "1", *(w for s in LITTLE for w in ("--set", s)))
    assert code == 0
    assert {row["stage"] for row in json.loads(out)["stages"]} >= {"sft", "policy"}
    for wrong, says in (("nosuch", "nosuch"), ("tiny", "policy.nosuch")):
        code, _, err = command("profile", wrong, "--set", "policy.nosuch=1")
        assert code == 2
        assert len(err.splitlines()) == 1
        assert says in err
