"""`trueward profile`: beats that add up, counts that are right, nothing left behind."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.modules import module as modules

from trueward import config
from trueward.batches import Step
from trueward.parallel.fabric import Fabric
from trueward.pipeline import profile
from trueward.pipeline.cache import RunCache
from trueward.pipeline.profiler import watching
from trueward.pipeline.stage_clock import BEATS, Clock
from trueward.progress import Progress
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.scorers.scorer import ScoredBatch
from trueward.training import driver

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

    clock = Clock(2, lambda: at[0])

    def steps() -> Iterator[Step]:
        for number in range(1, 100):
            with clock.during("act"):
                passes(3)
            with clock.during("judge"):
                passes(2)
                with clock.during("act"):  # within another: not told apart
                    passes(1)
            passes(0.5)
            clock.begin("learn")
            passes(4)
            clock.after_step()
            passes(0.25)
            yield Step(number, {})

    with clock.stage("policy"):
        passes(10)
        for _ in clock.loop(steps()):
            passes(0.125)
        passes(1)
    (counts,) = clock.stages
    expected = {"act": 6, "judge": 6, "credit": 1, "learn": 8, "hand over": 0.75, "evaluate": 0, "rest": 11}
    assert counts.beats == expected
    assert counts.seconds == sum(expected.values())
    assert counts.steps == 2


@pytest.fixture(scope="module")
def measured() -> tuple[dict[str, Any], list[Any]]:
    """A profile of the small recipe, and the rollouts that its policy stage wrote."""
    rollouts: list[Any] = []
    inner = sampler.sample
    patch = pytest.MonkeyPatch()
    patch.setattr(sampler, "sample", lambda *a, **k: (rollouts.append(inner(*a, **k)), rollouts[-1])[1])
    found = profile.profile("tiny", [*LITTLE], 2, Progress())
    patch.undo()
    return found, rollouts


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
    clock = Clock(1)
    with watching(clock), clock.stage("policy"):
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
    assert counts.products["judge"] == 2 * weights * padded.numel()
    assert counts.products["learn"] == 3 * 2 * weights * padded[:3].numel()
    everything = sum(p.numel() for p in network.model.parameters())  # the head is the embedding
    assert counts.read["act"] == 4 * everything * counts.decodes
    assert counts.beats["act"] > 0
    assert counts.beats["judge"] > 0
    assert counts.beats["learn"] > 0


def test_nothing_is_left_behind() -> None:
    before = (
        driver.drive,
        RunCache.make,
        vars(ScoredBatch)["of"],
        Fabric.by_parts,
        sampler.sample,
        sampler.decoder_for,
    )
    with watching(Clock(1)):
        assert driver.drive is not before[0]
        assert modules._global_forward_pre_hooks
    after = (
        driver.drive,
        RunCache.make,
        vars(ScoredBatch)["of"],
        Fabric.by_parts,
        sampler.sample,
        sampler.decoder_for,
    )
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert not modules._global_forward_pre_hooks
    assert not modules._global_forward_hooks


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
    clock = Clock(1)
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
