"""The win rate: ties are no coin flips, and the interval holds the true rate as often as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trueward.evaluation.preference import preferred
from trueward.evaluation.statistics import wilson
from trueward.evaluation.win_rate import mean_share, score_interval, win_rate

RUNS, PROMPTS = 3000, 128


def test_ties_count_half() -> None:
    rate, low, high = win_rate(np.array([1.0, 2.0, 3.0, 0.0]), np.array([0.0, 2.0, 1.0, 5.0]))
    assert rate == 0.625
    assert (low, high) == score_interval(2, 1, 4)
    assert win_rate(np.array([]), np.array([])) == (0.5, 0.0, 1.0)


def test_several_of_their_answers_to_a_prompt() -> None:
    """1 beats 0 and ties with 1: three quarters of that prompt. 0 loses to both."""
    rate, low, high = win_rate(np.array([1.0, 0.0]), np.array([[0.0, 1.0], [2.0, 1.0]]))
    assert rate == pytest.approx(0.375)
    assert (low, high) == score_interval(0.5, 1, 2)


@pytest.mark.parametrize("wins", [0, 3, 10])
def test_without_ties_it_is_wilsons(wins: int) -> None:
    assert score_interval(wins, 10 - wins, 10) == pytest.approx(wilson(wins, 10), abs=1e-9)


def test_its_ends_lie_that_many_of_their_own_errors_away() -> None:
    """At each end the score of the difference is ±1.96, with the nuisance at its most likely value, found on a grid."""
    wins, losses, n = 9, 4, 60
    for end, sign in zip(score_interval(wins, losses, n), (1, -1), strict=True):
        d = 2 * end - 1
        lost = np.linspace(max(0.0, -d) + 1e-9, (1 - d) / 2 - 1e-9, 400_001)
        likely = wins * np.log(lost + d) + losses * np.log(lost) + (n - wins - losses) * np.log(1 - 2 * lost - d)
        best = lost[np.argmax(likely)]
        score = ((wins - losses) / n - d) / math.sqrt((2 * best + d - d * d) / n)
        assert score == pytest.approx(sign * 1.959964, abs=1e-4)


def test_five_wins_and_95_ties() -> None:
    """Half the width that ties as coin flips give, and less: .43 to .62 before."""
    values = np.array([1.0] * 5 + [0.5] * 95)
    rate, low, high = mean_share(values)
    assert rate == 0.525
    assert 0.5 < low < 0.51
    assert 0.54 < high < 0.56
    assert (wilson(52.5, 100)[1] - wilson(52.5, 100)[0]) / (high - low) > 3
    assert preferred(values.tolist())["win_rate_low"] == round(low, 5)


@pytest.mark.parametrize("ties", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("won", [0.5, 0.8])
def test_coverage_and_width(ties: float, won: float) -> None:
    """95 % of intervals hold the true rate, and none is much wider than 1.96 standard errors to either side."""
    draw = np.random.default_rng(int(100 * ties + 10 * won))
    counts = draw.multinomial(PROMPTS, [(1 - ties) * won, (1 - ties) * (1 - won), ties], size=RUNS)
    gain = (1 - ties) * (2 * won - 1)
    rate, must = 0.5 + gain / 2, 2 * 1.96 * math.sqrt((1 - ties - gain**2) / PROMPTS) / 2
    ends = {pair: score_interval(*pair, PROMPTS) for pair in {(int(w), int(lost)) for w, lost, _ in counts}}
    found = np.array([ends[int(w), int(lost)] for w, lost, _ in counts])
    covered = ((found[:, 0] <= rate) & (rate <= found[:, 1])).mean()
    assert covered >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / RUNS)
    assert (found[:, 1] - found[:, 0]).mean() <= 1.11 * must
