"""The scale of a scorer: mean, and SD within a prompt."""

from __future__ import annotations

import numpy as np
import pytest

from trueward.records import Completion, Prompt, Score
from trueward.scorers.scorer import Scale, fit_scale, scores


def test_by_hand() -> None:
    # within prompts: variances 2 and 8, mean 5
    scale = fit_scale(np.array([[1.0, 3.0], [10.0, 14.0]]), "it")
    assert scale.mean == 7.0
    assert scale.sd == pytest.approx(5**0.5, abs=1e-12)
    assert scale.apply(np.array([7.0, 7 + 5**0.5])).tolist() == pytest.approx([0.0, 1.0], abs=1e-12)


def test_what_is_added_to_all_answers_of_a_prompt_changes_the_mean_alone() -> None:
    draw = np.random.default_rng(0)
    score = draw.normal(size=(40, 3))
    shift = draw.normal(size=(40, 1)) * 100
    one, moved = fit_scale(score, "it"), fit_scale(score + shift, "it")
    assert moved.sd == pytest.approx(one.sd, rel=1e-9)
    assert moved.mean == pytest.approx(one.mean + shift.mean(), abs=1e-9)


def test_the_sd_is_that_of_the_noise_within_a_prompt() -> None:
    draw = np.random.default_rng(1)
    prompts, answers, sd = 3000, 4, 2.5
    score = draw.normal(size=(prompts, 1)) * 10 + draw.normal(size=(prompts, answers)) * sd
    result = fit_scale(score, "it")
    freedom = prompts * (answers - 1)
    assert abs(result.sd - sd) <= 4.5 * sd / (2 * freedom) ** 0.5
    assert abs(result.mean) <= 4.5 * (100 / prompts + sd**2 / (prompts * answers)) ** 0.5


@pytest.mark.parametrize("score", [np.zeros((5, 2)), np.array([[1.0, 1.0], [7.0, 7.0]]), np.full((2, 2), np.nan)])
def test_no_spread_is_said_in_one_line(score: np.ndarray) -> None:
    with pytest.raises(ValueError, match="the judge gives the same score to all of the SFT policy's answers") as caught:
        fit_scale(score, "the judge")
    assert "\n" not in str(caught.value)


def test_scores_are_the_verdicts_in_order() -> None:
    completions = [Completion(prompt=Prompt(text="p"), response="x" * n) for n in (3, 1, 2)]
    got = scores(lambda cs: [Score(score=len(c.response)) for c in cs], completions)
    assert got.dtype == np.float64
    assert got.tolist() == [3.0, 1.0, 2.0]
    assert Scale(0.0, 1.0).apply(got).tolist() == [3.0, 1.0, 2.0]
