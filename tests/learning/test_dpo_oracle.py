"""DPO on every pair of answers to a task that can be enumerated, against the optimum of score − β·KL."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.algorithms import dpo
from trueward.config import Policy
from trueward.losses import preference
from trueward.models.loading import Network
from trueward.records import Comparison, Response

BETA = 0.5


@pytest.fixture
def task(make_task: Callable[..., Any]) -> Any:
    return make_task(["a", "b b"], 3, 4)


def population(task: Any) -> list[Comparison]:
    """Every pair of answers to each prompt, with the Bradley–Terry probability of their scores as a soft label."""
    rows = []
    for prompt, start in zip(task.prompts, task.starts, strict=True):
        for one, other in itertools.combinations(task.answers(start), 2):
            sides = [Response(id=task.text(x) or "-", text=task.text(x), finished=x[-1] == 2) for x in (one, other)]
            margin = torch.tensor(task.scores[task.text(one)] - task.scores[task.text(other)])
            rows.append(
                Comparison(
                    prompt=prompt,
                    first=sides[0],
                    second=sides[1],
                    probability=float(torch.sigmoid(margin)),
                    source="test",
                )
            )
    return rows


def learned(task: Any, rows: list[Comparison], **changes: Any) -> Network:
    settings = {"steps": 300, "warmup": 0, "kl_coef": BETA, "max_grad_norm": 1e9}
    config = Policy(
        **{
            "kind": "dpo",
            "batch_size": len(rows),
            **settings,
            **changes,
            "dpo": {"learning_rate": 0.05, **changes.get("dpo", {})},
        }
    )
    policy = task.policy()
    data = dpo.pairs(task.reference, rows, 10**6)
    state = dpo.start(config, policy)
    list(dpo.train(config, policy=policy, data=data, state=state, seed=0, micro_batch_tokens=10**6))
    return policy


def test_on_the_population_the_token_policys_optimum_is_the_tilt(task: Any) -> None:
    """By enumeration in float64: the loss on all pairs, in the log-probs of a policy made of tokens."""
    answers = list(task.answers(task.starts[0]))
    states = sorted({answer[:t] for answer in answers for t in range(len(answer))})
    i, j = torch.combinations(torch.arange(len(answers))).T
    label = torch.sigmoid(task.rewards()[i] - task.rewards()[j])
    reference = task.probabilities(task.of(task.reference))[0].log()
    logits = torch.zeros(len(states), 3, dtype=torch.float64, requires_grad=True)

    def logprobs() -> Tensor:
        rows = logits.log_softmax(-1)
        return torch.stack(
            [sum(rows[states.index(a[:t]), task.choices.index(token)] for t, token in enumerate(a)) for a in answers]
        )

    optimizer = torch.optim.LBFGS(
        [logits], max_iter=400, tolerance_grad=1e-12, tolerance_change=0.0, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = logprobs()
        margin = preference.dpo_margin(found[i], found[j], reference[i], reference[j], BETA)
        value = preference.dpo(margin, label).mean()
        value.backward()
        return value

    optimizer.step(loss)
    expected = task.probabilities(task.tilt(BETA))[0]
    torch.testing.assert_close(logprobs().detach().exp(), expected, rtol=0, atol=1e-6)


def test_the_loop_finds_it_on_the_population(task: Any) -> None:
    assert task.kl(task.of(learned(task, population(task))), task.tilt(BETA)) < 1e-3


def test_the_loop_comes_near_it_on_choices_drawn_from_the_population(task: Any) -> None:
    rows, draw = population(task), torch.Generator().manual_seed(0)
    distances = []
    for each in (2, 40):  # how often every pair is compared
        wins = [torch.rand(each, generator=draw) < row.probability for row in rows]
        drawn = [
            row.model_copy(update={"probability": float(won)}) for row, w in zip(rows, wins, strict=True) for won in w
        ]
        policy = learned(task, drawn, batch_size=min(len(drawn), 420), steps=400)
        distances.append(task.kl(task.of(policy), task.tilt(BETA)))
    assert distances[1] < 0.02
    assert distances[1] < distances[0]


@pytest.mark.parametrize(("kind", "chance"), [("ipo", 0.9), ("ipo", 1.0), ("sigmoid", 0.9)])
def test_two_arms_through_the_loop(make_task: Callable[..., Any], kind: str, chance: float) -> None:
    arms = make_task(["b"], 1, 0, {2: 0.8, 3: 0.2})
    sides = Response(id="1", text="a", finished=False), Response(id="2", text="", finished=True)
    row = Comparison(prompt=arms.prompts[0], first=sides[0], second=sides[1], probability=chance, source="test")
    found = arms.of(learned(arms, [row] * 4, dpo={"loss": kind}))(arms.starts[0])
    moved = (2 * chance - 1) / (2 * BETA) if kind == "ipo" else torch.logit(torch.tensor(chance)).item() / BETA
    expected = torch.logit(torch.tensor(0.2)).item() + moved
    assert torch.logit(found[3]).item() == pytest.approx(expected, abs=2e-3)


def test_robust_labels_undo_the_flips_and_smoothed_ones_do_not(task: Any) -> None:
    flipped = 0.2
    noisy = [
        row.model_copy(update={"probability": row.probability * (1 - flipped) + (1 - row.probability) * flipped})
        for row in population(task)
    ]
    robust = learned(task, noisy, dpo={"loss": "robust", "label_smoothing": flipped})
    plain = learned(task, noisy)
    assert task.kl(task.of(robust), task.tilt(BETA)) < 1e-3
    assert task.kl(task.of(plain), task.tilt(BETA)) > 0.05
    smoothed = learned(task, population(task), dpo={"label_smoothing": flipped})
    assert task.kl(task.of(smoothed), task.of(plain)) < 1e-6  # it takes clean labels for such noisy ones


def test_simpo_prefers_what_was_chosen(task: Any) -> None:
    policy = learned(task, population(task), steps=60, dpo={"loss": "simpo"})
    gain = (task.probabilities(task.of(policy)) - task.probabilities(task.of(task.reference))) @ task.rewards()
    assert (gain > 0.1).all()
