"""Prediction-powered means: by hand, beside ppi-python, and their coverage by simulation, whatever the judge's bias."""

from __future__ import annotations

import math

import numpy as np
import pytest

from trueward.evaluation.prediction_powered import FEWEST, any_time, powered_mean
from trueward.evaluation.statistics import student_quantile

# 24 pairs that both judged and 36 that the judge alone did; what ppi-python 0.2.3 (ppi_mean_pointestimate, ppi_mean_ci with
# alpha=0.05) says of them at a given λ of its own, which weighs the mean of the others and not that of all
PEOPLE = [1, 0, 1, 1, 0.5, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0.5, 1, 0, 1, 1, 0, 1, 1, 1, 0]
JUDGE = [
    0.9,
    0.2,
    0.8,
    0.7,
    0.6,
    0.4,
    1,
    0.3,
    0.1,
    0.8,
    0.9,
    0.6,
    0.5,
    0.7,
    0.4,
    1,
    0.2,
    0.9,
    0.6,
    0.3,
    0.8,
    0.2,
    0.7,
    0.6,
]
OTHERS = [(7 * k * k + 3 * k + 2) % 11 / 10 for k in range(36)]
PPI = {0.0: 0.6666666666666666, 0.3: 0.6041666666666667, 0.6: 0.5416666666666667, 1.0: 0.4583333333333333}
PPI_ENDS = {0.0: (0.48712708, 0.84620625), 0.3: (0.44259789, 0.76573544), 0.6: (0.38939379, 0.68993954)}
PPI_TUNED = 0.5338580476900149, (0.38204143, 0.68567467)
Z = 1.959964


def both() -> tuple[np.ndarray, np.ndarray]:
    return np.array([*PEOPLE, *[np.nan] * 36]), np.array([*JUDGE, *OTHERS])


def by_hand(weight: float) -> float:
    """The estimate with the judge's weight given."""
    people, judge = np.array(PEOPLE), np.array(JUDGE)
    return float(people.mean() + weight * (np.mean([*JUDGE, *OTHERS]) - judge.mean()))


@pytest.mark.parametrize("lam", PPI)
def test_the_estimate_is_ppi_pythons_at_its_weight(lam: float) -> None:
    """λ on the mean of all is λ · pairs/others on theirs."""
    assert by_hand(lam * 60 / 36) == pytest.approx(PPI[lam], abs=1e-12)


def test_the_weight_and_the_interval_are_about_ppi_pythons() -> None:
    """Theirs divides by n where ours divides by n − 2, takes the normal's quantile and mixes two estimates of one variance."""
    found = powered_mean(*both(), bounds=None)
    assert found.estimate == pytest.approx(by_hand(found.weight), abs=1e-12)
    assert found.estimate == pytest.approx(PPI_TUNED[0], abs=0.03)
    theirs = (PPI_TUNED[1][1] - PPI_TUNED[1][0]) / Z * student_quantile(0.975, 22) * math.sqrt(24 / 22)
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(theirs, rel=0.05)
    assert found.alone_low is not None
    assert found.alone_high is not None
    alone = (PPI_ENDS[0.0][1] - PPI_ENDS[0.0][0]) / Z * student_quantile(0.975, 22) * math.sqrt(24 / 22)
    assert found.alone_high - found.alone_low == pytest.approx(alone, rel=1e-6), (
        "without a judge there is nothing else to mix"
    )


def test_the_weight_is_the_one_of_least_variance() -> None:
    """The regression's slope where both judged, near enough, whatever unit the judge has."""
    people, judge = both()
    slope = np.polyfit(JUDGE, PEOPLE, 1)[0]
    assert powered_mean(people, judge, bounds=None).weight == pytest.approx(slope, rel=0.15)
    once, scaled = powered_mean(people, judge, bounds=None), powered_mean(people, 3 + 10 * judge, bounds=None)
    assert scaled.weight == pytest.approx(once.weight / 10)
    assert (scaled.estimate, scaled.low, scaled.high) == pytest.approx((once.estimate, once.low, once.high))


def test_people_on_all_is_agresti_coulls_interval() -> None:
    """No pair is left to the judge: what it says plays no part."""
    people = np.array([1.0] * 30 + [0.0] * 10)
    found = powered_mean(people, np.random.default_rng(0).random(40))
    share = 32 / 44
    half = student_quantile(0.975, 38) * math.sqrt(share * (1 - share) / 44 * 44 / 42)
    assert found.estimate == 0.75
    assert (found.low, found.high) == pytest.approx((share - half, share + half), abs=1e-9)
    assert (found.low, found.high) == pytest.approx((found.alone_low, found.alone_high), abs=1e-9)


def test_a_judge_that_knows_nothing_or_the_opposite_has_no_weight() -> None:
    people, judge = both()
    for useless in (np.full(60, 0.7), 1 - judge):
        found = powered_mean(people, useless, bounds=None)
        assert found.weight == 0
        assert found.estimate == pytest.approx(np.mean(PEOPLE))
        assert (found.low, found.high) == pytest.approx((found.alone_low, found.alone_high))


def test_pairs_of_one_prompt_are_one_observation() -> None:
    """Each pair four times, with its prompt named: the interval of the pairs alone, not half of it."""
    people, judge = both()
    once = powered_mean(people, judge, bounds=None)
    often = powered_mean(np.repeat(people, 4), np.repeat(judge, 4), list(np.repeat(np.arange(60), 4)), bounds=None)
    assert (often.estimate, often.low, often.high) == pytest.approx((once.estimate, once.low, once.high))
    blind = powered_mean(np.repeat(people, 4), np.repeat(judge, 4), bounds=None)
    assert blind.high - blind.low < 0.6 * (once.high - once.low)  # type: ignore[operator]


def test_few_or_no_clicks() -> None:
    people, judge = both()
    people[FEWEST - 1 :] = np.nan
    found = powered_mean(people, judge)
    assert (found.people, found.low, found.any_time_high, found.needed(0.05)) == (FEWEST - 1, None, None, None)
    with pytest.raises(ValueError, match="people judged none"):
        powered_mean(np.full(60, np.nan), judge)
    judge[3] = np.nan
    with pytest.raises(ValueError, match="1 of the judge's values are missing"):
        powered_mean(both()[0], judge)


def world(draw: np.random.Generator, n: int, p: float, bias: float, right: float) -> tuple[np.ndarray, np.ndarray]:
    """People prefer ours in a share p of pairs; the judge says the same in a share `right` of these, and ours regardless in
    a share `bias` of all."""
    people = (draw.random(n) < p).astype(float)
    judge = np.where(draw.random(n) < right, people, 1 - people)
    return people, np.where(draw.random(n) < bias, 1.0, judge)


@pytest.mark.parametrize("bias", [0.0, 0.2, 0.4])
@pytest.mark.parametrize(("clicks", "pairs"), [(20, 200), (80, 500), (80, 100)])
def test_the_interval_covers_in_95_of_100_whatever_the_judges_bias(bias: float, clicks: int, pairs: int) -> None:
    """6 worlds of 200 draws each. 95 % are 190 ± 3 in each world, of which four SDs are allowed, and 1,140 ± 8 in all."""
    draw, covered = np.random.default_rng(clicks), []
    for p in (0.5, 0.62, 0.9):
        for right in (0.75, 0.95):
            hits = 0
            for _ in range(200):
                people, judge = world(draw, pairs, p, bias, right)
                people[clicks:] = np.nan
                found = powered_mean(people, judge)
                hits += found.low <= p <= found.high  # type: ignore[operator]
            covered.append(hits)
    assert min(covered) >= 178, covered
    assert sum(covered) >= 1117, covered


def test_the_judge_alone_is_wrong_and_a_good_judge_is_worth_many_clicks() -> None:
    """With 80 clicks on 500 pairs and a judge that is biased by 0.2: what it says itself is off by more than the interval."""
    draw = np.random.default_rng(5)
    widths, alone, off = [], [], []
    for _ in range(200):
        people, judge = world(draw, 500, 0.5, 0.2, 0.95)
        people[80:] = np.nan
        found = powered_mean(people, judge)
        widths.append(found.high - found.low)  # type: ignore[operator]
        alone.append(found.alone_high - found.alone_low)  # type: ignore[operator]
        off.append(judge.mean() - 0.5 > (found.high - found.low) / 2)  # type: ignore[operator]
    assert np.mean(off) > 0.7
    assert np.mean(widths) < 0.8 * np.mean(alone)


def test_reading_it_after_each_click_is_wrong_in_at_most_5_percent() -> None:
    """100 projects of 300 pairs, read after every fourth click from the tenth to the 200th: 5 % are 5 ± 2."""
    draw, missed, fixed = np.random.default_rng(3), 0, 0
    for k in range(100):
        p = (0.5, 0.8)[k % 2]
        people, judge = world(draw, 300, p, 0.2, 0.9)
        wrong = early = False
        for clicks in range(FEWEST, 201, 4):
            found = powered_mean(np.where(np.arange(300) < clicks, people, np.nan), judge)
            wrong |= not found.any_time_low <= p <= found.any_time_high  # type: ignore[operator]
            early |= not found.low <= p <= found.high  # type: ignore[operator]
        missed, fixed = missed + wrong, fixed + early
    assert missed <= 8
    assert fixed > 15, "the interval of a plan isn't one to look at all the time"


def test_an_any_time_interval_is_about_1_6_times_as_wide() -> None:
    assert 1.5 < any_time(100) * 10 / 1.96 < 1.8


@pytest.mark.parametrize("right", [0.6, 0.9])
def test_the_clicks_that_are_said_to_be_needed_give_the_width(right: float) -> None:
    """From 60 clicks on 2,000 pairs: the width with as many more as it says, by simulation, within a tenth."""
    draw, ratio = np.random.default_rng(11), []
    for _ in range(40):
        people, judge = world(draw, 2000, 0.6, 0.2, right)
        known = np.arange(2000)
        needed = powered_mean(np.where(known < 60, people, np.nan), judge).needed(0.05)
        assert needed is not None
        then = powered_mean(np.where(known < needed, people, np.nan), judge)
        ratio.append((then.high - then.low) / 0.1)  # type: ignore[operator]
    assert np.median(ratio) == pytest.approx(1, abs=0.1)


def test_more_clicks_than_there_are_pairs_are_not_promised() -> None:
    draw = np.random.default_rng(2)
    people, judge = world(draw, 100, 0.6, 0.0, 0.9)
    people[40:] = np.nan
    found = powered_mean(people, judge)
    assert found.needed(0.02) is None
    assert found.needed(0.4) == FEWEST
