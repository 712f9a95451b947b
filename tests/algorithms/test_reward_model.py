"""The reward model's training: rankings of several responses, its start, its accuracy."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import setups
import torch
from setups import weights
from torch import Tensor
from transformers import GPT2Config, GPT2ForSequenceClassification

from trueward.algorithms import reward_model
from trueward.config import RewardConfig
from trueward.data.collate import Collator
from trueward.models import heads
from trueward.models.network import Network
from trueward.records import Comparison, Prompt, Response

MakeNetwork = Callable[..., Network]
TEXTS = [" is great .", " was dull and the plot was slow .", " feels warm", " seems bad but funny .", ""]


def ranking(prompt: str, texts: list[str], labels: list[float]) -> list[Comparison]:
    """All K(K − 1)/2 comparisons of one prompt's responses."""
    pairs = [(i, j) for i in range(len(texts)) for j in range(i)]
    return [
        Comparison(
            prompt=Prompt(text=prompt),
            first=Response(id=str(i), text=texts[i]),
            second=Response(id=str(j), text=texts[j]),
            probability=label,
            source="test",
        )
        for (i, j), label in zip(pairs, labels, strict=True)
    ]


def exact_network(make_reward: MakeNetwork) -> Network:
    """A GPT-2: its layer norms are computed in the weights' own precision; Llama's always are in float32."""
    tokenizer = make_reward().tokenizer
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=48,
        n_embd=16,
        n_layer=2,
        n_head=2,
        num_labels=1,
        initializer_range=0.2,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    return Network(GPT2ForSequenceClassification(config).double().eval(), tokenizer)


@pytest.mark.parametrize("budget", [10_000, 12])
def test_a_ranking_is_one_element_with_one_pass_a_response_and_the_gradient_of_its_pairs(
    make_reward: MakeNetwork, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    labels = [1.0, 0.0, 1.0, 0.5, 0.25, 0.0, 1.0, 1.0, 0.875, 0.0]  # exact in float32 too
    rows = ranking("the new film", TEXTS, labels)
    network = exact_network(make_reward)
    model = network.model

    # each pair by itself, both responses read anew, −p·log σ(Δ) − (1 − p)·log σ(−Δ) by its definition
    door = Collator(network.tokenizer, network.context)
    losses = []
    for row in rows:
        sides = [prompt + response for prompt, response in door.pairs(row.completions())]
        first, second = (model(input_ids=torch.tensor([ids]), attention_mask=None).logits[0, 0] for ids in sides)
        p = 1 / (1 + torch.exp(second - first))
        losses.append(-row.probability * torch.log(p) - (1 - row.probability) * torch.log(1 - p))
    expected = torch.stack(losses).mean()
    gradient = torch.cat([g.flatten() for g in torch.autograd.grad(expected, list(model.parameters()))])

    read: list[int] = []
    original = heads.sequence_scores

    def watched(model: Any, tokens: Any) -> Tensor:
        if torch.is_grad_enabled():
            read.append(len(tokens))
        return original(model, tokens)

    monkeypatch.setattr(heads, "sequence_scores", watched)
    before = weights(model)
    config = RewardConfig(batch_size=1, epochs=1, learning_rate=1.0, max_grad_norm=1e9, warmup=0)
    (step,) = setups.run(reward_model, config, setups.ranking(network, rows, budget, seed=0), setups.descent).steps
    assert step.metrics["loss"] == pytest.approx(expected.item(), abs=1e-12)
    torch.testing.assert_close(before - weights(model), gradient, rtol=0, atol=1e-10)
    assert sum(read) == len(TEXTS)


def test_grouping_by_prompt() -> None:
    rows = ranking("the film", TEXTS[:3], [1.0, 0.0, 0.5]) + ranking("a story", TEXTS[:2], [0.0])
    groups = reward_model.group_by_prompt([rows[0], rows[3], *rows[1:3]])
    assert [len(g.completions) for g in groups] == [3, 2]
    assert [[c.response for c in g.completions] for g in groups] == [[TEXTS[1], TEXTS[0], TEXTS[2]], TEXTS[1::-1]]
    assert groups[0].compared == [(0, 1, 1.0), (2, 1, 0.0), (2, 0, 0.5)]
    assert groups[1].compared == [(0, 1, 0.0)]


def test_a_cut_answer_and_a_finished_one_are_two_responses() -> None:
    row = Comparison(
        prompt=Prompt(text="the film"),
        first=Response(id="1", text=" is"),
        second=Response(id="2", text=" is", finished=False),
        probability=1.0,
        source="test",
    )
    (group,) = reward_model.group_by_prompt([row])
    assert [c.finished for c in group.completions] == [True, False]


def test_a_head_of_zeros_starts_at_ln_2_and_half(make_reward: MakeNetwork) -> None:
    network = make_reward()
    torch.nn.init.zeros_(network.model.score.weight)
    rows = ranking("the film", TEXTS, [1.0, 0.0] * 5)
    config = RewardConfig(batch_size=4, epochs=1)
    figures = setups.run(reward_model, config, setups.ranking(network, rows, 1000, seed=0)).steps[0].metrics
    assert figures["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert figures["accuracy"] == 0.5
    assert figures["margin"] == 0


def test_it_learns_what_it_is_told(make_reward: MakeNetwork) -> None:
    network = make_reward()
    rows = [
        row
        for noun in ("film", "movie", "story", "drama", "comedy", "sequel")
        for row in ranking(f"the {noun}", [" is great .", " is dull ."], [0.0])
    ]
    config = RewardConfig(batch_size=6, epochs=30, learning_rate=1e-2, weight_decay=0)
    steps = setups.run(reward_model, config, setups.ranking(network, rows, 1000, seed=0)).steps
    assert steps[-1].metrics["loss"] < 0.05
    assert steps[-1].metrics["accuracy"] == 1.0


def test_accuracy_by_hand() -> None:
    margin = torch.tensor([2.0, -1.0, 3.0, 0.0, 5.0])
    label = torch.tensor([1.0, 0.0, 0.2, 1.0, 0.5])
    assert reward_model.accuracy(margin, label) == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert math.isnan(reward_model.accuracy(margin[:1], torch.tensor([0.5])))


def test_a_members_plan(make_reward: MakeNetwork) -> None:
    """The first has the run's own seed; a bootstrap sample keeps the count of prompts and of steps."""
    network = make_reward()

    def steps(plan: reward_model.MemberPlan) -> int:
        return reward_model.steps(plan.config, setups.ranking(network, plan.comparisons))

    rows = [c for i in range(40) for c in ranking(f"p{i}", [" a", " b", " c"], [1.0, 0.0, 1.0])]
    config = RewardConfig(batch_size=8, epochs=3)
    whole = reward_model.member_plan(config, rows, 5, 0)
    assert (whole.config, list(whole.comparisons), whole.seed, steps(whole)) == (config, rows, 5, 15)
    other = reward_model.member_plan(config, rows, 5, 1)
    assert other.seed not in (5, reward_model.member_plan(config, rows, 5, 2).seed)
    drawn = [
        reward_model.member_plan(RewardConfig(batch_size=8, epochs=3, resample=True), rows, 5, m) for m in range(200)
    ]
    assert drawn[0].comparisons != drawn[1].comparisons
    for plan in drawn:
        assert len(plan.comparisons) == len(rows)
        assert steps(plan) == 15
        counts = Counter(c.prompt.text for c in plan.comparisons)
        assert all(count % 3 == 0 for count in counts.values()), "all comparisons of a prompt come along"
    missing = [1 - len({c.prompt.text for c in plan.comparisons}) / 40 for plan in drawn]
    expected = (1 - 1 / 40) ** 40
    variance = expected * (1 - expected) / 40 + (1 - 1 / 40) * ((1 - 2 / 40) ** 40 - expected**2)
    assert abs(sum(missing) / 200 - expected) < 4.5 * math.sqrt(variance / 200)


def test_accuracy_of_a_fitted_model_by_hand() -> None:
    class Longer:
        def raw(self, completions: Any) -> Any:
            return np.array([len(c.response) for c in completions], dtype=np.float64)

    rows = ranking("p", [" a", " bb", " ccc"], [1.0, 0.0, 1.0])  # the pairs are (1, 0), (2, 0), (2, 1)
    assert reward_model.accuracy_on(Longer(), rows) == pytest.approx(2 / 3, abs=1e-5)
    assert reward_model.accuracy_on(Longer(), ranking("p", [" a", " b"], [0.5])) is None
