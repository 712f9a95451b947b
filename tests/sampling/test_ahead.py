"""Sampling ahead: which weights sample which step, whatever the thread's pace; and what a checkpoint keeps of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import pytest
import torch

from trueward.batches import Rollout
from trueward.models.network import Network
from trueward.parallel.fabric import Fabric
from trueward.records import Prompt
from trueward.sampling.ahead import AheadEngine
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams, sample
from trueward.sampling.shared import SharedEngine
from trueward.training.schedule import rollout_plan

MakeNetwork = Callable[..., Network]
PARAMS = SamplingParams(temperature=0.8, max_new_tokens=6, max_num_seqs=6)
STEPS = 7


class Uneven(LocalEngine):
    """Now quick, now slow; notes in which thread it draws."""

    def __init__(self, pause: float = 0.0) -> None:
        super().__init__(PARAMS)
        self.pause, self.threads, self.drawn = pause, set[int](), list[tuple[int, int]]()

    def draw(self, network: Network, version: int, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
        time.sleep(self.pause * (len(self.drawn) % 3))
        self.threads.add(threading.get_ident())
        self.drawn.append((version, draws.seed))
        return super().draw(network, version, prompts, draws)


def move(network: Network) -> None:
    with torch.no_grad():
        for p in network.model.parameters():
            p.mul_(1.1)


def assert_same(one: Rollout, other: Rollout) -> None:
    assert torch.equal(one.tokens.ids, other.tokens.ids)
    assert torch.equal(one.logprobs, other.logprobs)
    assert one.version == other.version


def rollouts(
    policy: Network, own: LocalEngine, staleness: int, prompts: list[Prompt], pause: float = 0.0
) -> list[Rollout]:
    """A loop's: each step samples, and changes the policy."""
    engine, wanted = AheadEngine(own, staleness), rollout_plan(prompts, 4, 3)
    engine.hold(policy)
    engine.plan(wanted, STEPS)
    made = []
    for step in range(STEPS):
        engine.sync(policy, step)
        made.append(engine.sample(*wanted(step)))
        assert engine.version == made[-1].version
        time.sleep(pause)
        move(policy)
    engine.close()
    return made


@pytest.mark.parametrize("staleness", [1, 2, 3])
def test_the_rollout_of_a_step_is_of_the_weights_k_steps_before(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], staleness: int
) -> None:
    """At any pace. Each draws its own step's prompts with its own step's numbers, in another thread than the loop's."""
    slow = Uneven(0.03)
    made = rollouts(make_policy(), slow, staleness, toy_prompts)
    assert [r.version for r in made] == [max(0, step - staleness) for step in range(STEPS)]
    assert threading.get_ident() not in slow.threads
    assert len(slow.drawn) == STEPS
    policy, wanted = make_policy(), rollout_plan(toy_prompts, 4, 3)
    of_version = {}
    for version in range(STEPS):
        of_version[version] = [
            sample(policy, wanted(step)[0], PARAMS, wanted(step)[1], version=version) for step in range(STEPS)
        ]
        move(policy)
    for step, rollout in enumerate(made):
        assert_same(rollout, of_version[rollout.version][step])
    for one, other in zip(made, rollouts(make_policy(), Uneven(), staleness, toy_prompts, 0.03), strict=True):
        assert_same(one, other)


def test_it_samples_while_the_loop_learns(make_policy: MakeNetwork, toy_prompts: list[Prompt]) -> None:
    policy, own, wanted = make_policy(), Uneven(), rollout_plan(toy_prompts, 4, 3)
    engine = AheadEngine(own, 2)
    engine.hold(policy)
    engine.plan(wanted, STEPS)
    engine.sync(policy, 0)
    engine.sample(*wanted(0))
    until = time.monotonic() + 20
    while len(own.drawn) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert [seed for _, seed in own.drawn] == [wanted(step)[1].seed for step in range(3)]
    engine.close()


@pytest.mark.parametrize("done", [1, 2, 4])
def test_a_resumed_loop_samples_what_the_whole_one_would_have(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], done: int
) -> None:
    expected = rollouts(make_policy(), LocalEngine(PARAMS), 2, toy_prompts)
    policy, wanted = make_policy(), rollout_plan(toy_prompts, 4, 3)
    first, again = AheadEngine(LocalEngine(PARAMS), 2), AheadEngine(LocalEngine(PARAMS), 2)
    kept = first.hold(policy)
    assert sorted(kept) == ["sampler_0", "sampler_1"]
    first.plan(wanted, STEPS)
    for step in range(done):
        first.sync(policy, step)
        first.sample(*wanted(step))
        move(policy)
    first.close()
    for name, model in again.hold(policy).items():
        model.load_state_dict(kept[name].state_dict())
    again.plan(wanted, STEPS)
    for step in range(done, STEPS):
        again.sync(policy, step)
        assert_same(again.sample(*wanted(step)), expected[step])
        move(policy)
    again.close()


def test_further_rounds_of_a_step_are_drawn_from_the_present_weights(
    make_policy: MakeNetwork, toy_prompts: list[Prompt]
) -> None:
    policy, wanted = make_policy(), rollout_plan(toy_prompts, 4, 3)
    engine = AheadEngine(LocalEngine(PARAMS), 1)
    engine.hold(policy)
    engine.plan(wanted, STEPS)
    for step in range(3):
        engine.sync(policy, step)
        engine.sample(*wanted(step))
        refill = engine.sample(toy_prompts[:3], Draws(77))
        assert_same(refill, sample(policy, toy_prompts[:3], PARAMS, Draws(77), version=step))
        move(policy)
    engine.close()


def test_what_fails_in_the_thread_ends_the_loop(make_policy: MakeNetwork, toy_prompts: list[Prompt]) -> None:
    class Failing(LocalEngine):
        def draw(self, *args: object) -> Rollout:
            raise ValueError("vLLM is gone")

    engine = AheadEngine(Failing(PARAMS), 1)
    engine.hold(make_policy())
    engine.plan(rollout_plan(toy_prompts, 4, 3), STEPS)
    with pytest.raises(ValueError, match=r"^vLLM is gone$"):
        engine.sync(make_policy(), 0)
    engine.close()


def test_an_algorithm_without_a_plan_is_told(make_policy: MakeNetwork) -> None:
    engine = AheadEngine(LocalEngine(PARAMS), 1)
    engine.hold(make_policy())
    with pytest.raises(ValueError, match=r"sampler.engine.max_staleness: the algorithm doesn't say .*sampler.plan"):
        engine.sync(make_policy(), 0)
    engine.close()


def test_each_of_several_processes_samples_its_share_ahead(make_policy: MakeNetwork, toy_prompts: list[Prompt]) -> None:
    """And puts it together in the loop's own thread, where the processes talk to each other."""
    wanted, whole = rollout_plan(toy_prompts, 5, 3), {}
    for rank in range(2):
        policy = make_policy()
        own = AheadEngine(LocalEngine(PARAMS), 1)
        shared = SharedEngine(Fabric(rank, 2), own)
        shared.hold(policy)
        shared.plan(wanted, STEPS)
        prompts, draws = wanted(0)
        shared.sync(policy, 0)
        mine = Fabric(rank, 2).share(len(prompts))
        assert own.ready is not None
        part = own.sample([prompts[i] for i in mine.tolist()], draws.take(mine, len(prompts)))
        assert own.ready is None
        whole |= dict(zip(mine.tolist(), part.completions, strict=True))
        shared.close()
    alone = sample(make_policy(), wanted(0)[0], PARAMS, wanted(0)[1])
    assert [whole[i] for i in range(5)] == alone.completions
