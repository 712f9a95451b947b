"""Agreement beyond chance: the published examples, hand calculation, and laws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueward.evaluation import agreement

# Krippendorff 2011, Computing Krippendorff's Alpha-Reliability: example A (two observers, two values), and example C
# (four observers, five values, some missing). The third is the one of Hayes and Krippendorff's tutorials: three coders.
KRIPPENDORFF = [
    (["0100000010", "1110010000"], 0.095),
    (["123321412...", "1233224125.3", ".333234225 1.".replace(" ", ""), "1233244125 1.".replace(" ", "")], 0.743),
    ([".....34121133.3", "1.213343.......", "..21344.21133.4"], 0.691),
]
# Fleiss' κ: 14 raters put 10 subjects into five categories.
FLEISS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


@pytest.mark.parametrize(("observers", "alpha"), KRIPPENDORFF)
def test_krippendorffs_examples(observers: Sequence[str], alpha: float) -> None:
    assert len({len(o) for o in observers}) == 1
    units = [[value for value in column if value != "."] for column in zip(*observers, strict=True)]
    assert agreement.krippendorff(agreement.counts(units)) == pytest.approx(alpha, abs=5e-4)


def test_fleiss_example() -> None:
    units = [[label for label, n in enumerate(row) for _ in range(n)] for row in FLEISS]
    n = agreement.counts(units)
    assert agreement.fleiss(n) == pytest.approx(0.210, abs=5e-4)
    assert agreement.raw(n) == pytest.approx(0.378, abs=5e-4)


@pytest.mark.parametrize(
    ("table", "kappa"), [((20, 5, 10, 15), 0.4), ((45, 15, 25, 15), 0.1304), ((25, 35, 5, 35), 0.2593)]
)
def test_cohens_kappa_of_three_known_tables(table: tuple[int, ...], kappa: float) -> None:
    cells = [("y", "y"), ("y", "n"), ("n", "y"), ("n", "n")]
    pairs = [cell for cell, n in zip(cells, table, strict=True) for _ in range(n)]
    assert agreement.cohen(pairs) == pytest.approx(kappa, abs=5e-5)


def test_preferences_at_73_per_cent_have_a_kappa_of_about_45() -> None:
    units = [*[["a", "a"], ["b", "b"]] * 73, *[["a", "b"], ["b", "a"]] * 27]
    n = agreement.counts(units)
    assert agreement.raw(n) == pytest.approx(0.73)
    for kappa in (agreement.fleiss(n), agreement.krippendorff(n), agreement.cohen([(a, b) for a, b in units])):
        assert kappa == pytest.approx(0.46, abs=0.01)


def test_units_with_one_label_say_nothing_and_one_label_alone_has_no_kappa() -> None:
    assert len(agreement.counts([["a"], [], ["b"]])) == 0
    same = agreement.counts([["a", "a"], ["a", "a"]])
    assert agreement.raw(same) == 1
    assert np.isnan(agreement.fleiss(same))
    assert np.isnan(agreement.krippendorff(same))
    assert np.isnan(agreement.cohen([("a", "a")]))
    assert np.isnan(agreement.cohen([]))
    assert np.isnan(agreement.interval(same[:1], agreement.fleiss)[0])


UNITS = st.lists(st.lists(st.sampled_from("ab="), min_size=2, max_size=4), min_size=2, max_size=8)


@given(UNITS)
def test_alpha_is_one_minus_disagreement_over_chance(units: list[list[str]]) -> None:
    """By the definition, pair by pair, in place of counts."""
    observed = [(a, b, 1 / (len(u) - 1)) for u in units for i, a in enumerate(u) for j, b in enumerate(u) if i != j]
    labels = [label for u in units for label in u]
    chance = [a != b for i, a in enumerate(labels) for j, b in enumerate(labels) if i != j]
    alpha = agreement.krippendorff(agreement.counts(units))
    if not any(chance):
        assert np.isnan(alpha)
        return
    d_o = sum(w for a, b, w in observed if a != b) / len(labels)
    assert alpha == pytest.approx(1 - d_o / (sum(chance) / len(chance)))


@given(UNITS, st.data())
def test_weights_are_repetition(units: list[list[str]], data: st.DataObject) -> None:
    times = data.draw(st.lists(st.integers(1, 3), min_size=len(units), max_size=len(units)))
    n = agreement.counts(units)
    again = np.repeat(n, times, axis=0)
    for figure in (agreement.raw, agreement.fleiss, agreement.krippendorff):
        assert figure(n, np.array(times)) == pytest.approx(figure(again), nan_ok=True)


def test_the_interval_covers_what_it_should() -> None:
    """Of 200 sets of 150 pairs with true α 0.46, the 95 % intervals of 200·.95 ± 4.5 SE hold it."""
    draw = np.random.default_rng(0)
    covered = 0
    for trial in range(200):
        first = draw.random(150) < 0.5
        other = first ^ (draw.random(150) < 0.27)
        n = agreement.counts([[bool(a), bool(b)] for a, b in zip(first, other, strict=True)])
        low, high = agreement.interval(n, agreement.krippendorff, trial)
        covered += low <= 0.46 <= high
    assert abs(covered / 200 - 0.95) < 4.5 * (0.95 * 0.05 / 200) ** 0.5
