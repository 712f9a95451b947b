"""Krippendorff's alpha against tables worked by hand, and its limits."""

from __future__ import annotations

import pytest

from trueward.studio import agreement


def test_alpha_by_hand() -> None:
    """Four items, two people, one disagreement: D_o = 2/8, D_e = 2·3·5/(8·7), so alpha = 1 − (1/4)/(30/56)."""
    units = [[1.0, 1.0], [0.0, 0.0], [1.0, 0.0], [1.0, 1.0]]
    assert agreement.alpha(units) == pytest.approx(1 - (1 / 4) / (30 / 56))
    assert agreement.raw(units) == 0.75


def test_alpha_with_missing_votes_and_a_tie() -> None:
    """Coincidences by hand: item 1 has 1, 1, .5 (pairs weigh 1/2), item 2 has 0, .5; an item with one vote is left out.

    D_o = [(2·2·.25)/2 + 2·.25]/5 = 1/5; D_e = Σ over ordered pairs of {1, 1, .5, 0, .5} of (a − b)²/(5·4) = 3.5/10·2/2.
    """
    units = [[1.0, 1.0, 0.5], [0.0, 0.5], [1.0]]
    values = [1.0, 1.0, 0.5, 0.0, 0.5]
    expected = sum((a - b) ** 2 for a in values for b in values) / 20
    observed = (sum((a - b) ** 2 for a in units[0] for b in units[0]) / 2 + 2 * 0.25) / 5
    assert agreement.alpha(units) == pytest.approx(1 - observed / expected)


def test_the_ends_of_the_scale() -> None:
    assert agreement.alpha([[1.0, 1.0], [0.0, 0.0]]) == 1.0
    assert agreement.alpha([[1.0, 1.0]]) is None
    assert agreement.alpha([[1.0], [0.0]]) is None
    assert agreement.alpha([]) is None
    assert agreement.raw([[1.0]]) is None
    assert agreement.alpha([[1.0, 0.0], [0.0, 1.0]] * 500) == pytest.approx(-1, abs=0.01)
