"""Guards that fell: one sequential test over all of them and all looks, and what the verdict says of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from trueward.evaluation.guard_test import ALPHA, clause, fallen, rows_by_guard
from trueward.evaluation.paired_items import PairedItems

ITEMS = tuple(f"item {i}" for i in range(100))
FLAT = {"gain": 0.0, "gain_se": 0.05, "gain_z": 0.0, "items": 100}
SUNK = {"gain": -0.3, "gain_se": 0.05, "gain_z": -6.0, "items": 100}
SILENT = {"gain": None, "gain_se": None, "gain_z": None, "items": 0}


def looks(**guards: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Evaluations, each with a row of every guard."""
    count = len(next(iter(guards.values())))
    return [{"step": 5 * (k + 1), "guards": {n: rows[k] for n, rows in guards.items()}} for k in range(count)]


def test_a_guard_that_surely_fell_is_named_and_the_others_are_not() -> None:
    evaluations = looks(a=[FLAT, SUNK], b=[FLAT, FLAT])
    assert fallen(evaluations) == ["a"]
    assert clause(evaluations) == "; below SFT’s by the guard a"
    assert clause(looks(a=[FLAT], b=[FLAT])) == ""
    assert clause([{"step": 5}]) == "", "evaluations without guards"


def test_one_that_came_back_has_not_fallen_and_one_that_is_silent_still_has() -> None:
    assert fallen(looks(a=[SUNK, FLAT])) == []
    assert fallen(looks(a=[SUNK, SILENT])) == ["a"]
    assert fallen(looks(a=[SILENT, SILENT])) == []


def test_guards_share_the_level() -> None:
    """2.1 is beyond one guard's first look, α/2, and not beyond that of four, α/8."""
    near = {**SUNK, "gain_z": -2.1}
    assert fallen(looks(a=[near])) == ["a"]
    assert fallen(looks(a=[near], b=[FLAT], c=[FLAT], d=[FLAT])) == []


def test_rows_by_guard_keep_the_step() -> None:
    assert [row["step"] for row in rows_by_guard([{"step": 0}, *looks(a=[FLAT, SUNK])])["a"]] == [5, 10]


@pytest.mark.parametrize("binary", [True, False])
def test_false_alarms_of_three_guards_and_six_looks_stay_below_the_level(binary: bool) -> None:
    """Scores of both policies from one distribution, SFT's the same at every look, as in a run."""
    rng = np.random.default_rng(3)
    runs, alarms = 150, 0

    def scores() -> np.ndarray:
        return rng.binomial(1, 0.7, 100).astype(float) if binary else rng.gamma(1.0, 1.0, 100)

    for _ in range(runs):
        rows = {}
        for name in "abc":
            theirs = scores()
            span = 1.0 if binary else None
            rows[name] = [PairedItems.between(name, ITEMS, scores(), theirs, span).row() for _ in range(6)]
        alarms += any(fallen(looks(**rows)[:k]) for k in range(1, 7))
    assert alarms / runs <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / runs)


def test_a_loss_of_a_quarter_of_what_sft_can_do_is_found() -> None:
    """From 80 % to 55 % of 128 items that are right or wrong, by the second look."""
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        items = tuple(map(str, range(128)))
        theirs = rng.binomial(1, 0.8, 128).astype(float)
        rows = [PairedItems.between("a", items, rng.binomial(1, 0.55, 128).astype(float), theirs, 1.0).row()] * 2
        found += bool(fallen(looks(a=rows)))
    assert found >= 16
