"""A small reward model of one person's choices: it finds what was planted, and nothing where there is nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.optimize import minimize

from trueward.evaluation import taste
from trueward.records import Response

WORDS = ("the", "film", "was", "good", "and", "long", "with", "a", "fine", "plot", "but", "no", "ending", "people")


def answer(draw: random.Random) -> Response:
    text = " ".join(draw.choice(WORDS) for _ in range(draw.randint(4, 30)))
    return Response(id="a", text=text + "!" * draw.randint(0, 2) + draw.choice(["", "\n- a list\n- of two"]))


def pairs(count: int, seed: int) -> list[tuple[Response, Response]]:
    draw = random.Random(seed)
    return [(answer(draw), answer(draw)) for _ in range(count)]


def test_the_weights_are_the_mode() -> None:
    """Against scipy's minimiser of the same loss."""
    draw = np.random.default_rng(0)
    apart = draw.normal(loc=[0.5, 0, -0.3, 0], size=(60, 4))
    found = minimize(lambda w: np.logaddexp(0, -apart @ w).sum() + 0.5 * w @ w, np.zeros(4), tol=1e-12)
    np.testing.assert_allclose(taste._weights(apart), found.x, atol=1e-5)


def test_who_chooses_the_longer_one_is_told_so() -> None:
    made = [(a, b) if len(a.text.split()) >= len(b.text.split()) else (b, a) for a, b in pairs(80, 1)]
    found = taste.fit(made)
    assert found is not None
    first = found.leanings[0]
    assert (first.name, first.words) == ("length", "was longer")
    assert first.low > 0.8
    assert first.weight > 0
    assert found.accuracy_low > 0.7


def test_who_avoids_lists_is_told_so() -> None:
    made = [(b, a) if "- a list" in a.text and "- a list" not in b.text else (a, b) for a, b in pairs(120, 2)]
    made = [(b, a) if "- a list" in a.text and "- a list" not in b.text else (a, b) for a, b in made]
    found = taste.fit(made)
    assert found is not None
    (leaning,) = [one for one in found.leanings if one.name == "list"]
    assert leaning.words == "had no list"
    assert leaning.chosen == leaning.of
    assert leaning.weight < 0


def test_choices_by_chance_lean_to_nothing() -> None:
    """Of eleven features each interval errs in one of twenty; on 40 seeds hardly more is named."""
    named = accurate = 0
    for seed in range(40):
        found = taste.fit(pairs(60, 100 + seed))
        assert found is not None
        named += len(found.leanings)
        accurate += found.accuracy_low <= 0.5 <= found.accuracy_high
    assert named <= 0.1 * 40 * len(taste.FEATURES)
    assert accurate >= 34


def test_few_choices_teach_nothing() -> None:
    assert taste.fit(pairs(taste.FEWEST - 1, 3)) is None
    assert taste.fit(pairs(taste.FEWEST, 3)) is not None


def test_answers_that_differ_in_nothing() -> None:
    same = Response(id="a", text="yes")
    found = taste.fit([(same, same)] * 30)
    assert found is not None
    assert found.leanings == ()
    assert found.accuracy == pytest.approx(0.5)
