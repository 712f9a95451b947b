"""No loop reads what a policy did not choose: whatever stands in prompts or padding, the step is the same."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import setups
import torch
from torch import Tensor

from trueward.algorithms import dpo, grpo, ppo, reward_model, sft
from trueward.batches import Rollout, Tokens
from trueward.config import PolicyConfig, RewardConfig, SftConfig
from trueward.data.collate import Collator
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, TabularScalar, tokenizer
from trueward.records import Comparison, Completion, Prompt, Response
from trueward.sampling.sampler import SamplingParams
from trueward.scorers.scorer import Scale
from trueward.training.critic import Critic
from trueward.training.setup import Online

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
BUDGET, SEED = 30, 3


def table(kind: type, seed: int, poison: float) -> Network:
    """Random numbers; poison in every state that has padding among its last two tokens: the start, and all padding."""
    model = kind(VOCABULARY, ORDER, 12).double()
    torch.nn.init.normal_(model.table, generator=torch.Generator().manual_seed(seed))
    model.table.data[PADDED] = poison
    model.config.model_type = "any"  # read as any network is, a position at a time
    return Network(model, tokenizer(["a", "b", "c"], 12))


def rollout(poison: float) -> Rollout:
    """The same answers every time, off the policy by a little; poison outside of them."""
    tokens = Collator(tokenizer(["a", "b", "c"], 12), 12).tokens(ANSWERS)
    clean = table(TabularPolicy, 0, 0.0).model(input_ids=tokens.ids).logits.log_softmax(-1)
    before = torch.cat([clean[:, :1], clean[:, :-1]], 1)
    logprobs = before.gather(-1, tokens.ids[..., None]).squeeze(-1).detach()
    noise = 0.1 * torch.randn(len(ANSWERS), 12, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    logprobs = logprobs + noise[:, : logprobs.shape[1]]
    return Rollout(tokens, torch.where(tokens.response_mask, logprobs, poison), ANSWERS)


def score(completion: Completion) -> float:
    return completion.response.count("a") - 0.3 * completion.response.count("b")


def sampled(poison: float, critic: Critic | None = None) -> Online:
    return setups.online(
        table(TabularPolicy, 0, poison),
        table(TabularPolicy, 1, poison),
        setups.Scripted(SamplingParams(max_new_tokens=5), lambda prompts, draws: rollout(poison)),
        setups.scoring(score),
        PROMPTS * 4,
        BUDGET,
        SEED,
        critic=critic,
    )


def settings(kind: str, **more: Any) -> PolicyConfig:
    still = {"steps": 1, "batch_size": 16, "minibatches": 2, "epochs": 1, "warmup": 0, "max_grad_norm": 1e9}
    return PolicyConfig(
        **{"kind": kind, "learning_rate": 1.0, "value_learning_rate": 1.0, "kl_coef": 0.2, **still, **more}
    )


def run_sft(poison: float) -> setups.Ran:
    config = SftConfig(batch_size=16, epochs=1, learning_rate=1.0, max_grad_norm=1e9, warmup=0)
    setup = setups.supervised(table(TabularPolicy, 0, poison), ANSWERS, BUDGET, SEED)
    return setups.run(sft, config, setup, setups.descent)


def run_reward_model(poison: float) -> setups.Ran:
    config = RewardConfig(batch_size=4, epochs=1, learning_rate=1.0, max_grad_norm=1e9, warmup=0)
    setup = setups.ranking(table(TabularScalar, 0, poison), PAIRS, BUDGET, SEED)
    return setups.run(reward_model, config, setup, setups.descent)


def run_dpo(poison: float, loss: str) -> setups.Ran:
    config = settings("dpo", dpo={"learning_rate": 1.0, "loss": loss})
    pairs = dpo.reference_pairs(table(TabularPolicy, 1, poison), PAIRS, BUDGET)
    setup = setups.offline(table(TabularPolicy, 0, poison), pairs, BUDGET, SEED)
    return setups.run(dpo, config, setup, setups.descent)


def run_ppo(poison: float) -> setups.Ran:
    critic = Critic(table(TabularScalar, 2, poison), Scale(0.2, 1.3))
    return setups.run(ppo, settings("ppo"), sampled(poison, critic), setups.descent)


def run_grpo(poison: float, **group: Any) -> setups.Ran:
    return setups.run(grpo, settings("grpo", group={"size": 4, **group}), sampled(poison), setups.descent)


LOOPS: dict[str, Callable[[float], setups.Ran]] = {
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


def assert_same(clean: setups.Ran, dirty: setups.Ran, within: float = 0.0) -> None:
    for one, other in zip(clean.steps, dirty.steps, strict=True):
        assert one.metrics == (pytest.approx(other.metrics, rel=within, abs=within) if within else other.metrics)
        assert one.details == other.details
        assert all(math.isfinite(x) for x in one.metrics.values())
    start = table(TabularPolicy, 0, 0.0).model.table, table(TabularScalar, 0, 0.0).model.table
    for name, network in clean.state.networks.items():
        one, other = (ran.state.networks[name].table.detach()[~PADDED] for ran in (clean, dirty))
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
