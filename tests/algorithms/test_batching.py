"""One batch, or micro-batches of one, or any grouping between: the same loss, gradient and weights, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import setups
import torch
from setups import weights
from torch import Tensor

from trueward.algorithms import ppo, reward_model, sft
from trueward.batches import Tokens
from trueward.config import PolicyConfig, RewardConfig, SftConfig
from trueward.data.collate import Collator
from trueward.models import heads
from trueward.models.network import Network
from trueward.records import Comparison, Completion, Prompt, Response
from trueward.scorers.scorer import Scale
from trueward.training.critic import Critic
from trueward.training.policy_loss import policy_loss
from trueward.training.state import State

MakeNetwork = Callable[..., Network]
BUDGETS = [1, 14, 25, 40]
NO_CLIP = 1e9


def rankings() -> list[Comparison]:
    """Prompts with one, three and six comparisons, soft labels and a tie among them."""
    texts = [" is great .", " was dull and the plot was slow .", " feels warm", " seems"]
    labels = iter([1.0, 0.0, 0.5, 1.0, 0.7, 0.0, 1.0, 0.2, 0.0, 1.0])
    return [
        Comparison(
            prompt=Prompt(text=prompt),
            first=Response(id=str(i), text=texts[i], finished=i != 2),
            second=Response(id=str(j), text=texts[j], finished=j != 2),
            probability=next(labels),
            source="test",
        )
        for prompt, count in (("the film", 2), ("a long story about war", 3), ("this drama", 4))
        for i in range(count)
        for j in range(i)
    ]


def one_sft_step(network: Network, rows: list[Completion], budget: int) -> tuple[float, Tensor]:
    config = SftConfig(batch_size=len(rows), epochs=1, learning_rate=1.0, max_grad_norm=NO_CLIP, warmup=0)
    (step,) = setups.run(sft, config, setups.supervised(network, rows, budget), setups.descent).steps
    return step.metrics["nll"], weights(network.model)


def one_reward_step(network: Network, rows: list[Comparison], budget: int) -> tuple[float, Tensor]:
    config = RewardConfig(batch_size=10, epochs=1, learning_rate=1.0, max_grad_norm=NO_CLIP, warmup=0)
    (step,) = setups.run(reward_model, config, setups.ranking(network, rows, budget), setups.descent).steps
    return step.metrics["loss"], weights(network.model)


def one_ppo_update(
    policy: Network, value: Network, rows: list[Completion], budget: int, order: Tensor, poison: float = 0.0
) -> tuple[dict[str, float], Tensor, Tensor]:
    tokens: Tokens = Collator(policy.tokenizer, policy.context).tokens(rows)
    mask, draw = tokens.response_mask, torch.Generator().manual_seed(5)
    noise = [torch.randn(mask.shape, generator=draw, dtype=torch.float64) for _ in range(4)]
    critic = Critic(value, Scale(0.2, 1.3))
    with torch.no_grad():
        behaviour = heads.response_logprobs(policy.model, tokens, 0.7) + 0.15 * noise[0]
        old = critic.values(tokens) + 0.2 * noise[1]
    arrays = [torch.where(mask, x, poison) for x in (behaviour, noise[2], old, old + noise[3])]
    models = {"policy": policy.model, "value": value.model}
    state = State(models, {name: setups.descent(model) for name, model in models.items()})
    config = PolicyConfig(max_grad_norm=NO_CLIP)
    batch, loss = ppo.RolloutBatch(tokens, *arrays), policy_loss(config)
    figures = ppo._update(config, policy, critic, state, batch, order, 0.7, budget, loss)
    return figures, weights(policy.model), weights(value.model)


def test_sft_by_hand(make_policy: MakeNetwork, demonstrations: list[Completion]) -> None:
    network = make_policy(dtype=torch.float64)
    door, model = Collator(network.tokenizer, 48), network.model
    before = weights(model)
    total, count = torch.zeros((), dtype=torch.float64), 0
    for prompt, response in door.pairs(demonstrations):
        logp = model(input_ids=torch.tensor([prompt + response])).logits[0].log_softmax(-1)
        places = torch.arange(len(prompt) - 1, len(prompt) + len(response) - 1)
        total = total - logp[places, torch.tensor(response)].sum()
        count += len(response)
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(total / count, list(model.parameters()))])
    nll, after = one_sft_step(network, demonstrations, 10_000)
    assert nll == pytest.approx((total / count).item(), abs=1e-12)
    torch.testing.assert_close(before - after, gradient, rtol=0, atol=1e-12)
    fresh = make_policy(dtype=torch.float64)
    assert sft.held_out_nll(fresh, demonstrations, 30) == round((total / count).item(), 4)


@pytest.mark.parametrize("budget", BUDGETS)
def test_sft_in_micro_batches(make_policy: MakeNetwork, demonstrations: list[Completion], budget: int) -> None:
    whole = one_sft_step(make_policy(dtype=torch.float64), demonstrations, 10_000)
    parts = one_sft_step(make_policy(dtype=torch.float64), demonstrations, budget)
    assert parts[0] == pytest.approx(whole[0], abs=1e-12)
    torch.testing.assert_close(parts[1], whole[1], rtol=0, atol=1e-12)
    swapped = one_sft_step(make_policy(dtype=torch.float64), demonstrations[::-1], budget)
    torch.testing.assert_close(swapped[1], whole[1], rtol=0, atol=1e-12)


def test_sft_with_adam_and_a_binding_clip(make_policy: MakeNetwork, demonstrations: list[Completion]) -> None:
    results = []
    for budget in (10_000, 1):
        network = make_policy(dtype=torch.float64)
        config = SftConfig(batch_size=5, epochs=1, learning_rate=1e-3, max_grad_norm=0.05)
        steps = setups.run(sft, config, setups.supervised(network, demonstrations, budget)).steps
        assert len(steps) == 3
        assert all(step.metrics["grad_norm"] > 0.05 for step in steps)
        results.append(weights(network.model))
    torch.testing.assert_close(results[0], results[1], rtol=0, atol=1e-10)


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_reward_model_in_micro_batches(make_reward: MakeNetwork, budget: int) -> None:
    whole = one_reward_step(make_reward(dtype=torch.float64), rankings(), 10_000)
    parts = one_reward_step(make_reward(dtype=torch.float64), rankings(), budget)
    assert parts[0] == pytest.approx(whole[0], abs=1e-12)
    torch.testing.assert_close(parts[1], whole[1], rtol=0, atol=1e-12)
    swapped = one_reward_step(make_reward(dtype=torch.float64), rankings()[::-1], budget)
    torch.testing.assert_close(swapped[1], whole[1], rtol=0, atol=1e-12)


@pytest.mark.parametrize("budget", BUDGETS)
def test_ppo_in_micro_batches(
    make_policy: MakeNetwork, make_reward: MakeNetwork, demonstrations: list[Completion], budget: int
) -> None:
    def run(budget: int, order: Tensor) -> tuple[dict[str, float], Tensor, Tensor]:
        policy, value = make_policy(dtype=torch.float64), make_reward(dtype=torch.float64)
        return one_ppo_update(policy, value, demonstrations, budget, order)

    order = torch.tensor([3, 0, 7, 11, 5, 8])
    whole, parts = run(10_000, order), run(budget, order.flip(0))
    assert 0 < whole[0]["clipfrac"] < 1
    assert 0 < whole[0]["value_clipfrac"] < 1
    for name, figure in whole[0].items():
        assert parts[0][name] == pytest.approx(figure, abs=1e-6 if name == "entropy" else 1e-12), name
    for one, other in zip(whole[1:], parts[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("budget", [30, 10_000])
def test_ppo_is_not_touched_by_what_stands_outside_the_responses(
    make_policy: MakeNetwork, make_reward: MakeNetwork, demonstrations: list[Completion], budget: int, poison: float
) -> None:
    results = []
    for value_outside in (0.0, poison):
        policy, value = make_policy(dtype=torch.float64), make_reward(dtype=torch.float64)
        results.append(one_ppo_update(policy, value, demonstrations, budget, torch.arange(12), value_outside))
    clean, dirty = results
    assert dirty[0] == clean[0]
    assert torch.equal(dirty[1], clean[1])
    assert torch.equal(dirty[2], clean[2])
    assert clean[1].isfinite().all()
