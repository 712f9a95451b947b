"""No loop reads what a policy did not choose: whatever stands in prompts or padding, the step is the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.algorithms import dpo, grpo, ppo, reward_model, sft
from trueward.batches import Rollout, Step, Tokens
from trueward.config import PolicyConfig, RewardConfig, SftConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, TabularScalar, tokenizer
from trueward.records import Comparison, Completion, Prompt, Response, Score
from trueward.scorers.scorer import Scale
from trueward.training.state import State

PAD, ORDER, VOCABULARY = 0, 2, 6
PROMPTS = [Prompt(text=text) for text in ("a", "b b", "c a b", "b")]
TEXTS = ["a", "b a c", "", "c c"]
ANSWERS = [
    Completion(prompt=prompt, response=text, finished=(i + j) % 3 != 0 or not text)
    for i, prompt in enumerate(PROMPTS)
    for j, text in enumerate(TEXTS)
]
PAIRS = [
    Comparison(
        prompt=prompt,
        first=Response(id=str(i), text=TEXTS[i], finished=i != 1),
        second=Response(id=str(j), text=TEXTS[j], finished=j != 1),
        probability=[1.0, 0.0, 0.5, 0.8][(i + 2 * j) % 4],
        source="test",
    )
    for prompt in PROMPTS
    for i in range(4)
    for j in range(i)
]
PADDED = torch.tensor([state % VOCABULARY == PAD or state // VOCABULARY == PAD for state in range(VOCABULARY**ORDER)])
SHARED: dict[str, Any] = {"seed": 3, "micro_batch_tokens": 30}


def table(kind: type, seed: int, poison: float) -> Network:
    """Random numbers; poison in every state that has padding among its last two tokens: the start, and all padding."""
    model = kind(VOCABULARY, ORDER, 12).double()
    torch.nn.init.normal_(model.table, generator=torch.Generator().manual_seed(seed))
    model.table.data[PADDED] = poison
    model.config.model_type = "any"  # read as any network is, a position at a time
    return Network(model, tokenizer(["a", "b", "c"], 12))


def plain(**networks: Network) -> State:
    models = {name: network.model for name, network in networks.items()}
    return State(models, {name: torch.optim.SGD(model.parameters(), lr=1.0) for name, model in models.items()})


def rollout(network: Network, poison: float) -> Rollout:
    """The same answers every time, off the policy by a little; poison outside of them."""
    tokens = Collator(network.tokenizer, 12).tokens(ANSWERS)
    clean = table(TabularPolicy, 0, 0.0).model(input_ids=tokens.ids).logits.log_softmax(-1)
    before = torch.cat([clean[:, :1], clean[:, :-1]], 1)
    logprobs = before.gather(-1, tokens.ids[..., None]).squeeze(-1).detach()
    noise = 0.1 * torch.randn(len(ANSWERS), 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    logprobs = logprobs + noise[:, : logprobs.shape[1]]
    return Rollout(tokens, torch.where(tokens.response_mask, logprobs, poison), ANSWERS)


def judge(completions: Sequence[Completion]) -> list[Score]:
    return [Score(score=float(c.response.count("a") - 0.3 * c.response.count("b"))) for c in completions]


def sampled(poison: float) -> dict[str, Any]:
    draw = lambda network, prompts, generator: rollout(network, poison)  # noqa: E731
    return {"sample": draw, "scorer": judge, "prompts": PROMPTS * 4, "temperature": 1.0, **SHARED}


def settings(kind: str, **more: Any) -> PolicyConfig:
    still = {"steps": 1, "batch_size": 16, "minibatches": 2, "epochs": 1, "warmup": 0, "max_grad_norm": 1e9}
    return PolicyConfig(
        **{"kind": kind, "learning_rate": 1.0, "value_learning_rate": 1.0, "kl_coef": 0.2, **still, **more}
    )


def run_sft(poison: float) -> tuple[State, list[Step]]:
    policy = table(TabularPolicy, 0, poison)
    config = SftConfig(batch_size=16, epochs=1, learning_rate=1.0, max_grad_norm=1e9, warmup=0)
    state = plain(policy=policy)
    return state, list(sft.train(config, policy=policy, demonstrations=ANSWERS, state=state, **SHARED))


def run_reward_model(poison: float) -> tuple[State, list[Step]]:
    network = table(TabularScalar, 0, poison)
    config = RewardConfig(batch_size=4, epochs=1, learning_rate=1.0, max_grad_norm=1e9, warmup=0)
    state = plain(reward=network)
    return state, list(reward_model.train(config, network=network, comparisons=PAIRS, state=state, **SHARED))


def run_dpo(poison: float, loss: str) -> tuple[State, list[Step]]:
    policy, config = table(TabularPolicy, 0, poison), settings("dpo", dpo={"learning_rate": 1.0, "loss": loss})
    data, state = dpo.pairs(table(TabularPolicy, 1, poison), PAIRS, 30), plain(policy=policy)
    return state, list(dpo.train(config, policy=policy, data=data, state=state, **SHARED))


def run_ppo(poison: float) -> tuple[State, list[Step]]:
    policy, reference = table(TabularPolicy, 0, poison), table(TabularPolicy, 1, poison)
    critic = ppo.Critic(table(TabularScalar, 2, poison), Scale(0.2, 1.3))
    state = plain(policy=policy, value=critic.network)
    state.numbers["kl_coef"] = 0.2
    given = {"policy": policy, "reference": reference, "critic": critic, "state": state}
    return state, list(ppo.train(settings("ppo"), **given, **sampled(poison)))


def run_grpo(poison: float, **group: Any) -> tuple[State, list[Step]]:
    policy, reference = table(TabularPolicy, 0, poison), table(TabularPolicy, 1, poison)
    config, state = settings("grpo", group={"size": 4, **group}), plain(policy=policy)
    state.numbers["kl_coef"] = 0.2
    given = {"policy": policy, "reference": reference, "state": state, "longest": 5}
    return state, list(grpo.train(config, **given, **sampled(poison)))


LOOPS: dict[str, Callable[[float], tuple[State, list[Step]]]] = {
    "sft": run_sft,
    "reward_model": run_reward_model,
    "ppo": run_ppo,
    **{f"dpo {loss}": lambda p, loss=loss: run_dpo(p, loss) for loss in ("sigmoid", "ipo", "robust", "simpo")},
    **{
        f"grpo {kl} {ratio}": lambda p, kl=kl, ratio=ratio: run_grpo(p, kl=kl, ratio=ratio, std="sample")
        for kl in ("reward", "k2", "k3", "k3-weighted")
        for ratio in ("token", "sequence", "weight")
    },
}


def assert_same(clean: tuple[State, list[Step]], dirty: tuple[State, list[Step]], within: float = 0.0) -> None:
    for one, other in zip(clean[1], dirty[1], strict=True):
        assert one.metrics == (pytest.approx(other.metrics, rel=within, abs=within) if within else other.metrics)
        assert one.details == other.details
        assert all(math.isfinite(x) for x in one.metrics.values())
    start = table(TabularPolicy, 0, 0.0).model.table, table(TabularScalar, 0, 0.0).model.table
    for name, network in clean[0].networks.items():
        one, other = (state.networks[name].table.detach()[~PADDED] for state in (clean[0], dirty[0]))
        torch.testing.assert_close(one, other, rtol=0, atol=within)
        assert one.isfinite().all()
        assert not any(one.shape == s[~PADDED].shape and torch.equal(one, s[~PADDED]) for s in start), "nothing moved"
        assert network.table.detach()[PADDED].eq(0).all()  # and nothing flowed there


@pytest.mark.parametrize("poison", [math.nan, math.inf, 1e30])
@pytest.mark.parametrize("loop", LOOPS)
def test_garbage_in_prompts_and_padding(loop: str, poison: float) -> None:
    assert_same(LOOPS[loop](0.0), LOOPS[loop](poison))


@pytest.mark.parametrize("loop", LOOPS)
def test_other_tokens_in_the_padding_and_more_of_it(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = LOOPS[loop](0.0)
    collate = Tokens.collate.__func__

    def ragged(cls: type[Tokens], pairs: Any, pad: int) -> Tokens:
        tokens: Tokens = collate(cls, pairs, pad)
        ids = torch.nn.functional.pad(tokens.ids, (0, 3))
        at = torch.arange(ids.shape[1])
        words: Tensor = torch.randint(2, VOCABULARY, ids.shape, generator=torch.Generator().manual_seed(len(ids)))
        return replace(tokens, ids=torch.where(at < tokens.lengths[:, None], ids, words))

    monkeypatch.setattr(Tokens, "collate", classmethod(ragged))
    assert_same(clean, LOOPS[loop](0.0), within=1e-12)  # sums over wider rows are rounded otherwise
