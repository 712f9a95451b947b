from __future__ import annotations

import numpy as np
import pytest

from trueward.evaluation.lengths import correlation, matched_gain


def test_a_length_hack_has_no_gain_left() -> None:
    """Scores are the length and nothing else: the whole gain goes when lengths are matched."""
    draw = np.random.default_rng(0)
    long, short = draw.integers(10, 40, 400).astype(float), draw.integers(5, 30, 400).astype(float)
    ours, theirs = 0.1 * long + draw.normal(0, 1, 400), 0.1 * short + draw.normal(0, 1, 400)
    gain = matched_gain(ours, theirs, long, short)
    assert ours.mean() - theirs.mean() > 0.6
    assert abs(gain.gain) <= 4.5 * gain.error
    assert gain.error < 0.12
    assert 0.5 < gain.matched < 0.8
    assert correlation(ours, long) > 0.5


def test_a_gain_that_has_nothing_to_do_with_length_stays() -> None:
    draw = np.random.default_rng(1)
    long, short = draw.integers(10, 40, 400).astype(float), draw.integers(5, 30, 400).astype(float)
    ours, theirs = draw.normal(1, 1, 400), draw.normal(0, 1, 400)
    gain = matched_gain(ours, theirs, long, short)
    assert abs(gain.gain - 1.0) <= 4.5 * gain.error


def test_by_hand() -> None:
    """Two buckets, at most 1 token and more: 3 − 1 = 2 of one pair (weight ½), (5 + 7)/2 − 4 = 2 of two and one (weight ⅔)."""
    gain = matched_gain(np.array([3.0, 5.0, 7.0]), np.array([1.0, 4.0]), np.array([1, 2, 2]), np.array([1, 2]))
    assert gain.gain == pytest.approx(2.0)
    # residuals −1 and +1 in one cell, 5 answers less 4 cells: σ² = 2; Σ weights = 7/6
    assert gain.error == pytest.approx((2 / (7 / 6)) ** 0.5)
    assert gain.matched == 1.0


def test_lengths_that_never_meet_say_nothing() -> None:
    gain = matched_gain(np.ones(30), np.zeros(30), np.full(30, 9), np.full(30, 3))
    assert np.isnan(gain.gain)
    assert gain.matched == 0.0


def test_correlation() -> None:
    assert correlation(np.array([1.0, 2, 3]), np.array([2.0, 4, 6])) == pytest.approx(1.0)
    for x in ([1.0, 1, 1], [1.0, np.nan, 2]):
        assert np.isnan(correlation(np.array(x), np.array([1.0, 2, 3])))
