"""The table that scorers, comparators and suites end in, and its sequential test."""

import numpy as np
import pytest

from trueward.evaluation.paired import paired
from trueward.evaluation.paired_items import PairedItems, significant

ITEMS = tuple(f"item {i}" for i in range(100))


def test_a_row_is_the_paired_test_of_the_measured_items():
    rng = np.random.default_rng(0)
    ours, theirs = rng.normal(0.5, 1, 100), rng.normal(0, 1, (100, 2))
    row = PairedItems.between("judge", ITEMS, ours, theirs).row()
    test = paired(ours, theirs)
    assert (row["gain"], row["gain_se"], row["gain_z"]) == pytest.approx((test.mean, test.se, test.z), abs=1e-5)
    assert (row["items"], row["missing"]) == (100, 0)


def test_what_was_not_measured_counts_as_missing_and_as_nothing_else():
    differences = np.full(100, 0.25)
    differences[:30] = np.nan
    row = PairedItems("judge", ITEMS, differences, span=1.0).row()
    assert (row["gain"], row["items"], row["missing"]) == (0.25, 70, 30)


def test_nothing_measured_has_no_figures():
    row = PairedItems("judge", ITEMS, np.full(100, np.nan)).row()
    assert row == {"gain": None, "gain_se": None, "gain_z": None, "items": 0, "missing": 100}
    assert not significant([row], "above", 0.05)


def test_a_bounded_instrument_is_tested_by_betting():
    lucky = np.zeros(100)
    lucky[:3] = 1.0
    free, bounded = (PairedItems("suite", ITEMS, lucky, span).row()["gain_z"] for span in (None, 1.0))
    assert 0 < bounded < free


@pytest.mark.parametrize("span", [None, 2.0])
def test_false_alarms_of_twenty_looks_stay_below_the_level(span):
    rng = np.random.default_rng(1)
    alarms = 0
    for _ in range(300):
        rows = [PairedItems("x", ITEMS, np.clip(rng.normal(0, 0.5, 100), -2, 2), span).row() for _ in range(20)]
        alarms += significant(rows, "below", 0.05)
    assert alarms / 300 <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 300)


def test_every_row_spends_its_level_also_one_that_is_not_tested():
    sure = {"gain_z": 2.0, "items": 100}  # beyond 5 %/2 one-sided, not beyond 5 %/6
    silent = {"gain_z": None, "items": 0}
    assert significant([sure], "above", 0.05)
    assert not significant([silent, sure], "above", 0.05)


def test_a_fall_is_found_and_few_items_are_not_tested():
    rows = [PairedItems("x", ITEMS, np.random.default_rng(2).normal(-0.5, 0.5, 100)).row()]
    assert significant(rows, "below", 0.05)
    assert not significant(rows, "above", 0.05)
    few = [PairedItems("x", ITEMS[:19], np.full(19, -1.0), span=1.0).row()]
    assert not significant(few, "below", 0.05)
