"""DPO on every pair of answers to a task that can be enumerated, against the optimum of score − β·KL."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from trueward.algorithms import dpo
from trueward.config import PolicyConfig
from trueward.losses import preference
from trueward.models.network import Network
from trueward.records import Comparison, Response
from trueward.training.setup import Offline

pytestmark = pytest.mark.learned
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
    config = PolicyConfig(
        **{
            "kind": "dpo",
            "batch_size": len(rows),
            **settings,
            **changes,
            "dpo": {"learning_rate": 0.05, **changes.get("dpo", {})},
        }
    )
    policy = task.policy()
    pairs = dpo.reference_pairs(task.reference, rows, 10**6)
    setup = Offline(seed=0, micro_batch_tokens=10**6, policy=policy, pairs=pairs)
    list(dpo.train(config, setup, dpo.start(config, setup)))
    return policy


def optimum(task: Any, label: Tensor) -> Tensor:
    """The policy made of tokens that is best on all pairs of answers to the first prompt, in float64: [answers].

    label [pairs]: the share of each pair's comparisons that its first answer wins.
    """
    answers = list(task.answers(task.starts[0]))
    states = sorted({answer[:t] for answer in answers for t in range(len(answer))})
    row = {state: i for i, state in enumerate(states)}
    i, j = torch.combinations(torch.arange(len(answers))).T
    reference = task.probabilities(task.of(task.reference))[0].log()
    logits = torch.zeros(len(states), 3, dtype=torch.float64, requires_grad=True)
    steps = [
        (a, row[answer[:t]], task.choices.index(x)) for a, answer in enumerate(answers) for t, x in enumerate(answer)
    ]
    which, state, token = (torch.tensor(part) for part in zip(*steps, strict=True))

    def logprobs() -> Tensor:
        chosen = logits.log_softmax(-1)[state, token]
        return torch.zeros(len(answers), dtype=torch.float64).index_add(0, which, chosen)

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
    return logprobs().detach().exp()


def chances(task: Any) -> Tensor:
    """[pairs]: Bradley–Terry's, of all pairs of answers."""
    i, j = torch.combinations(torch.arange(len(task.rewards()))).T
    return torch.sigmoid(task.rewards()[i] - task.rewards()[j])


def test_on_the_population_the_token_policys_optimum_is_the_tilt(task: Any) -> None:
    """By enumeration in float64: the loss on all pairs, in the log-probs of a policy made of tokens."""
    expected = task.probabilities(task.tilt(BETA))[0]
    torch.testing.assert_close(optimum(task, chances(task)), expected, rtol=0, atol=1e-6)


def test_with_n_comparisons_the_kl_to_the_tilt_falls_as_1_over_n(task: Any) -> None:
    """n·KL has the mean that the delta method gives, for every n, and probabilities miss by 1/√n.

    Margins r_i − r_j are fitted with the covariance of a logistic regression, I⁺/n, I = mean of p(1 − p)·(e_i − e_j)(e_i −
    e_j)ᵀ over the pairs; KL ≈ ½·Var_{π*}(δr)/β², so n·KL → tr(Cov_{π*}·I⁺)/(2β²).
    """
    tilt, chance = task.probabilities(task.tilt(BETA))[0], chances(task)
    i, j = torch.combinations(torch.arange(len(tilt))).T
    difference = torch.eye(len(tilt), dtype=torch.float64)[i] - torch.eye(len(tilt), dtype=torch.float64)[j]
    information = (difference.T * (chance * (1 - chance))) @ difference / len(chance)
    covariance = tilt.diag() - tilt[:, None] * tilt
    expected = float((covariance @ torch.linalg.pinv(information)).trace()) / (2 * BETA**2)
    draw, misses = torch.Generator().manual_seed(0), []
    for each in (100, 1600):  # how often every pair is compared
        n, kls, far = each * len(chance), [], []
        for _ in range(60):
            wins = torch.binomial(torch.full_like(chance, each), chance, generator=draw)
            found = optimum(task, wins / each)
            kls.append(n * float((found * (found / tilt).log()).sum()))
            far.append(float((found - tilt).abs().mean()))
        found_mean, error = torch.tensor(kls).mean().item(), torch.tensor(kls).std().item() / 60**0.5
        assert abs(found_mean - expected) <= 4.5 * error
        misses.append(sum(far) / 60)
    assert misses[0] / misses[1] == pytest.approx(4, rel=0.2)


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
