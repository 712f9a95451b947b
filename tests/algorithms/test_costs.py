"""What a step computes, counted and not timed: forward passes, tokens read, logits made, arithmetic, bytes asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import setups
import torch
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from trueward.algorithms import dpo, grpo, ppo, reward_model, sft
from trueward.batches import Tokens
from trueward.config import PolicyConfig, RewardConfig, SftConfig
from trueward.models import heads
from trueward.models.fast import fused, packed
from trueward.models.frozen_layers import ValueHead
from trueward.models.network import Network
from trueward.records import Comparison, Completion, Prompt, Response
from trueward.sampling.sampler import SamplingParams
from trueward.scorers.scorer import Scale
from trueward.training.critic import Critic
from trueward.training.setup import Online

MakeNetwork = Callable[..., Network]
STILL: dict[str, Any] = {"steps": 1, "epochs": 1, "minibatches": 1, "warmup": 0.0}


@dataclass
class Count:
    """Of the networks' fast path, while a step is made."""

    passes: list[tuple[bool, int]] = field(default_factory=list)  # whether it keeps a gradient, and tokens read
    logits: list[int] = field(default_factory=list)  # rows of logits made

    def tokens(self, learning: bool) -> int:
        return sum(n for grad, n in self.passes if grad is learning)

    def of(self, learning: bool) -> int:
        return sum(grad is learning for grad, _ in self.passes)


@pytest.fixture
def count(monkeypatch: pytest.MonkeyPatch, make_policy: MakeNetwork, make_reward: MakeNetwork) -> Count:
    found = Count()
    for network in (make_policy(), make_reward()):
        packed.covers(network.model)  # the proof of the fast path is a pass too, once in a process
    layout, logprobs = packed.layout, fused.TokenLogprobs.forward

    def laid(tokens: Tokens, where: torch.Tensor, *rest: Any) -> packed.Layout:
        place = layout(tokens, where, *rest)
        found.passes.append((torch.is_grad_enabled(), len(place.ids)))
        return place

    def made(ctx: Any, states: torch.Tensor, *rest: Any) -> Any:
        found.logits.append(len(states))
        return logprobs(ctx, states, *rest)

    monkeypatch.setattr(packed, "layout", laid)
    monkeypatch.setattr(fused.TokenLogprobs, "forward", staticmethod(made))
    return found


def score(completion: Completion) -> float:
    return len(completion.response) % 7 - 3.0


class Sampled(setups.Recorder):
    """Of the one rollout."""

    def __init__(self) -> None:
        super().__init__(SamplingParams(max_new_tokens=8))

    @property
    def tokens(self) -> Tokens:
        (rollout,) = self.rollouts
        return rollout.tokens

    @property
    def answers(self) -> int:
        """Response tokens."""
        return int(self.tokens.response_lengths.sum())

    @property
    def read(self) -> int:
        """Tokens that have to be read for the answers' log-probs, each by itself: all but the last of each."""
        return int(self.tokens.lengths.sum()) - len(self.tokens)


def by_sampling(policy: Network, reference: Network, sampled: Sampled, prompts: list[Prompt], **more: Any) -> Online:
    return setups.online(policy, reference, sampled, setups.scoring(score), prompts, **more)


@pytest.mark.parametrize("trunk", ["own", "shared"])
def test_ppo(
    trunk: str, count: Count, make_policy: MakeNetwork, make_reward: MakeNetwork, toy_prompts: list[Prompt]
) -> None:
    """Reference and values read once; then a pass of policy and value network a minibatch, or one of both."""
    config, sampled = PolicyConfig(batch_size=8, critic={"trunk": trunk}, **{**STILL, "epochs": 2}), Sampled()
    policy, critic = make_policy(), Critic(make_reward(), Scale(0.0, 1.0))
    if trunk == "shared":
        critic = Critic(Network(ValueHead(policy.model), policy.tokenizer), Scale(0.0, 1.0), policy.model)
    setups.run(ppo, config, by_sampling(policy, make_policy(), sampled, toy_prompts, critic=critic))
    networks = 1 if trunk == "shared" else 2
    assert count.of(learning=False) == 2
    assert count.of(learning=True) == 2 * networks
    assert count.tokens(learning=False) == 2 * sampled.read
    assert count.tokens(learning=True) == 2 * networks * sampled.read
    # No second pass for the log-probs it was sampled with; logits for the answers' tokens alone.
    assert count.logits == [sampled.answers] * 3


def test_grpo_reads_a_prompt_once_a_group(count: Count, make_policy: MakeNetwork, toy_prompts: list[Prompt]) -> None:
    config, sampled = PolicyConfig(kind="grpo", batch_size=8, group={"size": 4}, **STILL), Sampled()
    setups.run(grpo, config, by_sampling(make_policy(), make_policy(), sampled, toy_prompts))
    tokens = sampled.tokens
    prompts = {tuple(row[:n].tolist()) for row, n in zip(tokens.ids, tokens.prompt_lengths, strict=True)}
    needed = sum(len(p) for p in prompts) + sampled.answers - len(tokens)
    assert len(prompts) == 2
    assert [n for _, n in count.passes] == [needed, needed]
    assert count.logits == [sampled.answers] * 2


def comparisons(prompts: list[Prompt]) -> list[Comparison]:
    """Four comparisons, two to a prompt, three different answers to each."""
    answers = [
        Response(id=str(i), text=text, finished=True) for i, text in enumerate(("silly .", "clever .", "dull ."))
    ]
    return [
        Comparison(prompt=prompt, first=answers[i], second=answers[j], probability=1.0, source="test")
        for prompt in prompts[:2]
        for i, j in ((0, 1), (1, 2))
    ]


def test_a_reward_model_reads_each_answer_once_and_each_prompt_once(
    count: Count, make_reward: MakeNetwork, toy_prompts: list[Prompt]
) -> None:
    config, network = RewardConfig(batch_size=2, epochs=1), make_reward()
    setups.run(reward_model, config, setups.ranking(network, comparisons(toy_prompts)))
    door = reward_model.Collator(network.tokenizer, network.context)
    answers = sum(len(door.response_ids(r, True)) for r in ("silly .", "clever .", "dull ."))
    needed = sum(len(door.prompt_ids(p)) for p in toy_prompts[:2]) + 2 * answers
    assert count.passes == [(True, needed)]
    assert count.logits == []


def test_dpo_reads_the_reference_once(count: Count, make_policy: MakeNetwork, toy_prompts: list[Prompt]) -> None:
    config = PolicyConfig(kind="dpo", batch_size=4, **{**STILL, "steps": 3})
    pairs = dpo.reference_pairs(make_policy(), comparisons(toy_prompts), 10_000)
    setups.run(dpo, config, setups.offline(make_policy(), pairs))
    assert count.of(learning=False) == 1
    assert count.of(learning=True) == 3


def test_sft(count: Count, make_policy: MakeNetwork, demonstrations: list[Completion]) -> None:
    config, policy = SftConfig(batch_size=len(demonstrations), epochs=1), make_policy()
    setups.run(sft, config, setups.supervised(policy, demonstrations))
    shown = sft.Collator(policy.tokenizer, policy.context).tokens(demonstrations)
    assert count.logits == [int(shown.response_lengths.sum())]
    assert len(count.passes) == 1


def batch(rows: int, length: int) -> Tokens:
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(3, 40, (rows, 4 + length), generator=draw).tolist()
    return Tokens.collate([(row[:4], row[4:]) for row in ids], 0)


def test_arithmetic_is_what_the_tokens_need(make_policy: MakeNetwork) -> None:
    """Matrix products of a pass forth and back: 6 operations a weight and token, and the attention's; nothing else."""
    model, tokens = make_policy().model, batch(6, 5)
    layers = [p for name, p in model.named_parameters() if name.startswith("model.layers.") and p.ndim == 2]
    weights = sum(p.numel() for p in layers)
    head = model.lm_head.weight.numel()
    read, answers = int(tokens.lengths.sum()) - len(tokens), int(tokens.response_lengths.sum())
    with FlopCounterMode(display=False) as counter:
        heads.response_logprobs(model, tokens).sum().backward()
    products = sum(n for op, n in counter.get_flop_counts()["Global"].items() if "mm" in str(op))
    assert products <= 6 * (weights * read + head * answers)


def test_bytes_asked_for_grow_with_the_tokens_and_not_with_tokens_times_vocabulary(make_policy: MakeNetwork) -> None:
    """All memory that a pass forth and back asks for: twice the rows, twice the bytes, less the weights' own."""
    model = make_policy().model

    def asked(rows: int) -> int:
        tokens = batch(rows, 12)
        for _ in range(2):
            model.zero_grad()
            with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
                heads.response_logprobs(model, tokens).sum().backward()
        return sum(max(0, e.self_cpu_memory_usage) for e in seen.key_averages())

    few, many = asked(8), asked(32)
    assert many <= 4.1 * few
    size = model.config.hidden_size
    a_token = many / (32 * 15) / 4  # numbers
    assert a_token <= 160 * size  # 136 as it is; one copy more of what a layer keeps is some 30
