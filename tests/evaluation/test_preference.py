"""The win rate by people: by hand, and its intervals by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from trueward.evaluation.preference import any_time, preferred
from trueward.evaluation.statistics import wilson
from trueward.evaluation.win_rate import score_interval


def test_the_win_rate_by_hand() -> None:
    row = preferred([1.0, 1.0, 0.5, 0.0, None])
    assert (row["pairs"], row["judged"], row["complete"]) == (5, 4, False)
    assert row["win_rate"] == pytest.approx(2.5 / 4)
    assert (row["win_rate_low"], row["win_rate_high"]) == pytest.approx(score_interval(2, 1, 4), abs=1e-5)
    assert row["any_time_low"] == 0.0
    assert row["any_time_high"] == 1.0
    assert preferred([1.0])["complete"]


def test_equal_answers_count_half_by_their_share() -> None:
    """8 pairs, 2 equal: a fifth of all prompts is a tie for sure, whether 1 or all 8 of the others are judged."""
    for judged in (1, 8):
        row = preferred([1.0] * judged + [None] * (8 - judged), same=2)
        assert row["win_rate"] == pytest.approx(0.8 * 1 + 0.2 * 0.5)
        assert row["win_rate_low"] == pytest.approx(0.8 * wilson(judged, judged)[0] + 0.1, abs=1e-5)


def test_before_anybody_has_said_anything() -> None:
    row = preferred([None, None], same=1)
    assert row["win_rate"] is row["win_rate_low"] is row["any_time_high"] is None
    assert (row["pairs"], row["judged"], row["same"]) == (2, 0, 1)


@pytest.mark.parametrize("p", [0.5, 0.8])
def test_reading_it_all_the_time_is_wrong_in_at_most_5_percent(p: float) -> None:
    """2,000 projects, read after each of 300 clicks. Wilson's interval, read so, is wrong in over a third."""
    clicks = np.random.default_rng(0).random((2000, 300)) < p
    n = np.arange(1, 301)
    means = clicks.cumsum(axis=1) / n
    half = np.array([any_time(int(k)) for k in n])
    missed = (np.abs(means - p) > half).any(axis=1).mean()
    assert 0 < missed <= 0.05
    ends = np.array([[wilson(mean * k, int(k)) for k, mean in zip(n, row, strict=True)] for row in means[:100]])
    assert ((p < ends[..., 0]) | (p > ends[..., 1])).any(axis=1).mean() > 0.3
