"""What is paid for a score, by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from trueward.config import RewardConfig
from trueward.records import Completion, Prompt, Score
from trueward.sampling.draws import Draws
from trueward.sampling.sampler import SamplingParams, sample
from trueward.scorers.scorer import scores
from trueward.scorers.shaping import Shaped, SwappableScorer, against, clipped, price_of_length, references, shaped

WORTH = {" is great .": 3.0, " is warm .": 1.0, " is slow .": -1.0, " is bad and dull .": -4.0}
PROMPTS = [Prompt(text="the film"), Prompt(text="the movie")]
ANSWERS = [Completion(prompt=p, response=r) for p in PROMPTS for r in (" is warm .", " is slow .")]


def proxy(completions: Sequence[Completion]) -> list[Score]:
    return [Score(score=WORTH[c.response], parts={"member_sd": 0.5}) for c in completions]


def refer(prompts: Sequence[Prompt]) -> list[Completion]:
    """Two reference answers to each prompt."""
    return [Completion(prompt=p, response=r) for p in prompts for r in (" is warm .", " is slow .")]


def answered(*responses: str) -> list[Completion]:
    return [Completion(prompt=PROMPTS[0], response=r) for r in responses]


def test_held_to_a_bound() -> None:
    assert clipped(np.array([-3.0, -1.0, 0.5, 9.0]), 2.0).tolist() == [-2.0, -1.0, 0.5, 2.0]


def test_against_reference_answers_by_hand() -> None:
    got = against(np.array([0.0, math.log(3)]), np.array([[0.0, math.log(3)], [0.0, 0.0]]))
    np.testing.assert_allclose(got, [(0.5 + 0.25) / 2, 0.75])
    assert against(np.array([1e4]), np.array([[0.0]])).tolist() == [1.0]


def test_only_what_is_too_long_pays() -> None:
    assert price_of_length(np.array([2.0, 5.0, 9.0]), 5.0, 0.25).tolist() == [0.0, 0.0, 1.0]


@pytest.fixture
def make(make_policy: Callable[..., Any]) -> Callable[..., Any]:
    network = make_policy()
    return lambda **settings: Shaped(RewardConfig(**settings), proxy, ANSWERS, network, refer)


def test_clip_and_length_in_turn(make: Callable[..., Any]) -> None:
    """SFT's answers have 4 tokens with their end; the last one has 6, so it pays for two."""
    got = make(clip=2.0, length_penalty=0.5)(answered(" is great .", " is warm .", " is bad and dull ."))
    assert [v.score for v in got] == [2.0, 1.0, -3.0]
    assert [v.parts["unshaped"] for v in got] == [3.0, 1.0, -4.0]
    assert got[0].parts["member_sd"] == 0.5


def test_sigmoid_by_hand_in_sds(make: Callable[..., Any]) -> None:
    """The reference answers score ±1, so an answer of r gets (σ(r − 1) + σ(r + 1))/2, less its mean, in its SDs."""

    def plain(r: float) -> float:
        return (1 / (1 + math.exp(1 - r)) + 1 / (1 + math.exp(-1 - r))) / 2

    mean, sd = (plain(1) + plain(-1)) / 2, (plain(1) - plain(-1)) / math.sqrt(2)
    got = scores(make(shaping="sigmoid"), answered(" is great .", " is slow ."))
    np.testing.assert_allclose(got, [(plain(3) - mean) / sd, (plain(-1) - mean) / sd])
    bounded = scores(make(shaping="sigmoid", clip=1.0), answered(" is great ."))
    np.testing.assert_allclose(bounded, [1 / math.sqrt(2)])  # clipped first, it is SFT's better answer


def test_each_answer_meets_the_references_of_its_own_prompt(make_policy: Callable[..., Any]) -> None:
    def other(prompts: Sequence[Prompt]) -> list[Completion]:
        good = {PROMPTS[0]: " is great .", PROMPTS[1]: " is bad and dull ."}
        return [Completion(prompt=p, response=good[p]) for p in prompts]

    made = Shaped(RewardConfig(shaping="sigmoid", references=1), proxy, ANSWERS, make_policy(), other)
    low, high = scores(made, [Completion(prompt=p, response=" is warm .") for p in PROMPTS])
    assert low < high
    got = scores(made, [Completion(prompt=p, response=" is warm .") for p in (*PROMPTS, PROMPTS[0])])
    assert got[0] == got[2] == low


def test_nothing_is_shaped_unless_it_is_asked_for(make_policy: Callable[..., Any]) -> None:
    assert shaped(RewardConfig(), proxy, ANSWERS, make_policy(), sample, 0) is proxy  # type: ignore[arg-type]  # stands in for a model
    assert shaped(RewardConfig(clip=1), proxy, ANSWERS, make_policy(), sample, 0) is not proxy  # type: ignore[arg-type]  # stands in for a model


def test_reference_answers_are_a_function_of_the_prompts(make_policy: Callable[..., Any]) -> None:
    network = make_policy()

    def draw(policy: Any, prompts: Sequence[Prompt], draws: Draws) -> Any:
        return sample(policy, prompts, SamplingParams(1.0, 6, 8), draws)

    drawn = references(draw, network, 3, seed=1)
    first = drawn(PROMPTS)
    assert [c.prompt for c in first] == [p for p in PROMPTS for _ in range(3)]
    assert drawn(PROMPTS) == first
    assert references(draw, network, 3, seed=2)(PROMPTS) != first
    assert len({c.response for c in first}) > 3


def test_the_scorer_of_the_moment() -> None:
    now = SwappableScorer(proxy)
    one = scores(now, ANSWERS)
    now.scorer = lambda completions: [Score(score=0.0) for _ in completions]
    assert one.tolist() == [1.0, -1.0, 1.0, -1.0]
    assert scores(now, ANSWERS).tolist() == [0.0] * 4
