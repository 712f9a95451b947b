"""Best of n: what is kept, and how far that is from the reference."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from trueward.algorithms import best_of_n
from trueward.batches import Rollout, Tokens
from trueward.models.network import Network
from trueward.models.tabular import TabularPolicy, tokenizer
from trueward.records import Completion, Prompt, Score
from trueward.sampling.draws import Draws

# two prompts, three answers each: score, finished
ANSWERS = [(1.0, True), (3.0, False), (2.5, True), (0.0, False), (0.3, False), (-2.0, True)]


def draw(network: Network, prompts: Sequence[Prompt], draws: Draws) -> Rollout:
    assert [p.text for p in prompts] == ["a"] * 3 + ["b"] * 3
    tokens = Tokens.collate([([1, 3], [3] * (i + 1)) for i in range(6)], 0)
    logprobs = -torch.arange(1.0, 7.0)[:, None] * tokens.response_mask
    rows = [
        Completion(prompt=p, response=str(i), finished=done)
        for i, (p, (_, done)) in enumerate(zip(prompts, ANSWERS, strict=True))
    ]
    return Rollout(tokens, logprobs, rows)


@pytest.mark.parametrize(("penalty", "kept"), [(0.0, [1, 4]), (1.0, [2, 4]), (5.0, [2, 5])])
def test_the_best_by_score_less_the_penalty_for_being_cut(penalty: float, kept: list[int]) -> None:
    network = Network(TabularPolicy(5, 1, 12), tokenizer(["a", "b"], 12))

    def judge(completions: Sequence[Completion]) -> list[Score]:
        return [Score(score=ANSWERS[int(c.response)][0]) for c in completions]

    sample = best_of_n.sampler(3, judge, draw, penalty)
    rollout = sample(network, [Prompt(text="a"), Prompt(text="b")], Draws(0))
    assert [int(c.response) for c in rollout.completions] == kept
    assert [c.prompt.text for c in rollout.completions] == ["a", "b"]
    assert rollout.tokens.response_lengths.tolist() == [i + 1 for i in kept]
    assert rollout.logprobs.shape == rollout.tokens.ids.shape
    assert rollout.logprobs.min(1).values.tolist() == [-(i + 1.0) for i in kept]


@pytest.mark.parametrize("n", [1, 2, 4, 16, 64])
def test_the_kl_is_that_of_the_largest_of_n_uniform_numbers(n: int) -> None:
    # density n·u^(n−1): ∫ n u^(n−1)·log(n u^(n−1)) du, by the midpoint rule
    u = (torch.arange(400_000, dtype=torch.float64) + 0.5) / 400_000
    density = n * u ** (n - 1)
    assert best_of_n.kl(n) == pytest.approx((density * density.clamp(min=1e-300).log()).mean().item(), abs=1e-6)
    assert best_of_n.kl(n) <= math.log(n)
