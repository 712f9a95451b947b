"""Memory that runs out: the step again with half the tokens and the same result, or one line with the setting to change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.algorithms import dpo, grpo, online_dpo, ppo, reward_model, sft
from trueward.batches import Tokens, by_parts, micro_batches
from trueward.config import PolicyConfig, RewardConfig, SftConfig
from trueward.errors import OutOfMemory, named_out_of_memory, ran_out
from trueward.models import heads
from trueward.models.frozen_layers import ValueHead
from trueward.models.network import Network
from trueward.records import Comparison, Completion, Prompt, Response, Score
from trueward.sampling import sampler
from trueward.sampling.draws import Draws
from trueward.sampling.engine import LocalEngine
from trueward.sampling.sampler import SamplingParams
from trueward.scorers.reward_model import RewardModel
from trueward.scorers.scorer import Scale
from trueward.token_budget import Budget, TokenBudget, within_memory
from trueward.training import driver
from trueward.training.critic import Critic
from trueward.training.env import Env
from trueward.training.journal import MemoryJournal
from trueward.training.setup import Offline, Online, Ranking, Setup, Supervised

MakeNetwork = Callable[..., Network]
CPU = "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 64 bytes."
RAISED: list[Exception] = [
    RuntimeError(CPU),
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.6 GiB"),
]
COMPARISONS = [
    Comparison(
        prompt=Prompt(text=f"the {noun}"),
        first=Response(id="1", text=" is great ."),
        second=Response(id="2", text=" is dull", finished=False),
        probability=1.0,
        source="test",
    )
    for noun in ("film", "movie", "story", "drama")
]


@contextmanager
def failing(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: int, error: Exception) -> Iterator[list[int]]:
    """The call number `at` (from 0) of a function does its work and then fails as an allocator does; the calls, counted."""
    real, calls = getattr(owner, name), [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        found = real(*args, **kwargs)
        if calls[0] == at + 1:
            raise error
        return found

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, counted)
        yield calls


def double(network: Network) -> Network:
    """In float64, where rounding is far below what a gradient that was counted twice would do."""
    return Network(network.model.double(), network.tokenizer)


LOOPS = ("sft", "reward model", "dpo", "online dpo", "grpo", "ppo", "ppo, shared trunk")


@pytest.fixture
def begin(
    make_policy: MakeNetwork, make_reward: MakeNetwork, toy_prompts: list[Prompt], demonstrations: list[Completion]
) -> Callable[[str, Budget], tuple[Any, Any, Setup]]:
    """An algorithm, its settings and its setup, always the same one."""

    def made(loop: str, budget: Budget) -> tuple[Any, Any, Setup]:
        common: dict[str, Any] = {"seed": 3, "micro_batch_tokens": budget}
        policy = double(make_policy())
        if loop == "sft":
            config: Any = SftConfig(batch_size=8, epochs=1.0, learning_rate=1e-3)
            return sft, config, Supervised(**common, policy=policy, demonstrations=demonstrations[:16])
        if loop == "reward model":
            config = RewardConfig(batch_size=4, epochs=2, learning_rate=1e-3)
            return reward_model, config, Ranking(**common, network=double(make_reward()), comparisons=COMPARISONS)
        more: dict[str, Any] = {"steps": 2, "batch_size": 4, "minibatches": 1, "learning_rate": 1e-3}
        if loop == "dpo":
            pairs = dpo.reference_pairs(double(make_policy()), COMPARISONS, budget)
            return dpo, PolicyConfig(kind="dpo", **more), Offline(**common, policy=policy, pairs=pairs)
        critic = Critic(double(make_reward()), Scale(0.0, 1.0))
        if loop == "ppo, shared trunk":
            critic = Critic(Network(ValueHead(policy.model).double(), policy.tokenizer), Scale(0.0, 1.0), policy.model)
        setup = Online(
            **common,
            policy=policy,
            reference=double(make_policy()),
            critic=critic if loop.startswith("ppo") else None,
            sampler=LocalEngine(SamplingParams(max_new_tokens=5, max_num_seqs=4)),
            scorer=lambda completions: [Score(score=float(len(c.response))) for c in completions],
            prompts=toy_prompts,
            demonstrations=demonstrations,
        )
        if loop == "online dpo":
            return online_dpo, PolicyConfig(kind="dpo", dpo={"online": True}, **more), setup
        if loop == "grpo":
            return grpo, PolicyConfig(kind="grpo", group={"size": 2}, ptx_coef=0.1, **more), setup
        shared = {"trunk": "shared"} if loop == "ppo, shared trunk" else {}
        return ppo, PolicyConfig(kind="ppo", value_learning_rate=1e-3, critic=shared, **more), setup

    return made


def weights_after(algorithm: Any, config: Any, setup: Setup) -> list[Tensor]:
    state = algorithm.start(config, setup)
    list(algorithm.train(config, setup, state))
    return [p.detach().clone() for network in state.networks.values() for p in network.parameters()]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("where", ["forward", "backward"])
def test_a_step_is_repeated_with_half_the_tokens_and_the_same_result(
    begin: Callable[[str, Budget], tuple[Any, Any, Setup]],
    loop: str,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    straight = weights_after(*begin(loop, 4096))
    budget = TokenBudget(4096)
    algorithm, config, setup = begin(loop, budget)
    owner, name = (heads, "states_at") if where == "forward" else (Tensor, "backward")
    with failing(monkeypatch, owner, name, 1, RAISED[0]) as calls:
        repeated = weights_after(algorithm, config, setup)
    assert calls[0] > 2
    assert budget.tokens < 4096
    said = capsys.readouterr().err
    assert said.count("out of memory with ") == 1
    assert f"repeated with {budget.tokens}, and from here on" in said
    for one, other in zip(straight, repeated, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-6)


@pytest.mark.parametrize("error", RAISED, ids=["CPU", "Python", "CUDA"])
def test_with_a_number_it_is_one_line_that_names_the_setting(
    begin: Callable[[str, Budget], tuple[Any, Any, Setup]], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, config, setup = begin("sft", 512)
    with (
        failing(monkeypatch, Tensor, "backward", 0, error),
        pytest.raises(OutOfMemory, match=r"^out of memory: runtime.micro_batch_tokens = 512 tokens") as raised,
    ):
        driver.drive(algorithm, config, setup, MemoryJournal(), Env())
    assert "\n" not in str(raised.value)
    assert "runtime.checkpointing = true" in str(raised.value)
    if error is RAISED[2]:
        assert "(2.00 GiB more were asked for)" in str(raised.value)


def test_the_optimisers_moments_that_do_not_fit_are_named(
    begin: Callable[[str, Budget], tuple[Any, Any, Setup]], monkeypatch: pytest.MonkeyPatch
) -> None:
    algorithm, config, setup = begin("sft", TokenBudget(512))
    with (
        failing(monkeypatch, torch.optim.AdamW, "step", 0, RAISED[0]),
        pytest.raises(OutOfMemory, match=r"^out of memory: sft: weights, gradients and Adam's moments.*lora.rank"),
    ):
        driver.drive(algorithm, config, setup, MemoryJournal(), Env(), what="sft")


def test_sampling_names_the_rows_at_once(
    make_policy: MakeNetwork, toy_prompts: list[Prompt], monkeypatch: pytest.MonkeyPatch
) -> None:
    params = SamplingParams(max_new_tokens=5, max_num_seqs=4)
    with (
        failing(monkeypatch, sampler, "draw", 2, RAISED[2]),
        pytest.raises(
            OutOfMemory, match=r"^out of memory: sampling 4 answers at once.*sampler.engine.max_num_seqs \(now 4\)"
        ),
    ):
        sampler.sample(make_policy(), toy_prompts, params, Draws.purpose(0, "test"))


def test_what_reads_without_learning_is_repeated_too(
    make_policy: MakeNetwork,
    make_reward: MakeNetwork,
    demonstrations: list[Completion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scorer = RewardModel(make_reward(), Scale(0.0, 1.0), 4096)
    torch.nn.init.normal_(scorer.network.model.score.weight)
    policy = make_policy()
    before = scorer.raw(demonstrations), sft.held_out_nll(policy, demonstrations, 4096)
    for budget in (TokenBudget(4096), TokenBudget(4096)):
        scorer.micro_batch_tokens = budget
        with failing(monkeypatch, heads, "states_at", 0, MemoryError()):
            assert scorer.raw(demonstrations) == pytest.approx(before[0], abs=1e-4)
        assert budget.tokens < 4096
    with failing(monkeypatch, heads, "states_at", 0, MemoryError()):
        assert sft.held_out_nll(policy, demonstrations, TokenBudget(4096)) == pytest.approx(before[1], abs=2e-4)


def test_a_sequence_that_does_not_fit_alone_ends_it() -> None:
    budget = TokenBudget(64)
    sizes: list[int] = []

    def work() -> None:
        sizes.append(max(len(rows) for rows in micro_batches(torch.full((8,), 8), budget)))
        raise RuntimeError(CPU)

    with pytest.raises(OutOfMemory, match="one sequence of 8 tokens doesn't fit"):
        within_memory(budget, work)
    assert sizes == [8, 4, 2, 1]


def test_what_is_drawn_again_is_what_was_drawn() -> None:
    budget, drawn, thrown_away = TokenBudget(64), [], []

    def work() -> None:
        micro_batches(torch.full((8,), 8), budget)
        drawn.append(torch.rand(3))
        if len(drawn) < 3:
            raise MemoryError

    within_memory(budget, work, lambda: thrown_away.append(len(drawn)))
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])
    assert thrown_away == [1, 2]


def test_other_errors_go_through() -> None:
    def work() -> None:
        raise RuntimeError("shapes don't match")

    for budget in (64, TokenBudget(64)):
        with pytest.raises(RuntimeError, match="shapes"):
            within_memory(budget, work)
    with pytest.raises(RuntimeError, match="shapes"), named_out_of_memory("it", "less"):
        work()
    assert not ran_out(ValueError(CPU))
    assert ran_out(RuntimeError("CUDA error: out of memory"))


def test_parts_that_were_read_before_are_read_again() -> None:
    tokens = Tokens.collate([([1, 2], [3] * n) for n in range(1, 9)], 0)
    budget, read = TokenBudget(1000), []

    def once_too_much(part: Tokens) -> Tensor:
        read.append(len(part))
        if len(read) == 1:
            raise MemoryError
        return part.ids.float()

    assert torch.equal(by_parts(once_too_much, tokens, budget), tokens.ids.float() * tokens.ids.ne(0))
    assert read[0] == 8
    assert sum(read[1:]) == 8


def test_the_command_line_says_it_in_one_line(
    command: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changes = ["runtime.threads=1", "sft.epochs=0.02", "runtime.micro_batch_tokens=512"]
    options = [part for change in changes for part in ("--set", change)]
    with failing(monkeypatch, Tensor, "backward", 0, RAISED[0]):
        code, out, err = command("run", "tiny", *options, "--out", str(tmp_path / "run"), "--quiet")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "out of memory: runtime.micro_batch_tokens = 512 tokens at once doesn't fit" in err
    assert "Traceback" not in err
