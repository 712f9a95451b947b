"""The page's agreement is that of `trueward comparisons agree`; a judge beside people, by hand."""

from __future__ import annotations

import random
from collections import defaultdict

import pytest

from trueward.evaluation.annotators import examine
from trueward.records import Comparison, Prompt, Response, response_id
from trueward.studio import agreement


def votes(n: int, draw: random.Random) -> list[Comparison]:
    """Three people on each of n pairs, one of them a tie now and then; the first response is mostly the better one."""
    found = []
    for i in range(n):
        prompt = Prompt(text=f"prompt {i}")
        first, second = (
            Response(id=response_id(prompt, text), text=text)
            for text in (f"one {draw.random()}", f"two {draw.random()}")
        )
        found += [
            Comparison(prompt=prompt, first=first, second=second, probability=draw.choice((1, 1, 1, 0, 0.5)), source="s",
                       annotator=name)
            for name in ("anna", "ben", "chloe")
        ]  # fmt: skip
    return found


@pytest.mark.parametrize("n", [1, 2, 40])
def test_it_is_what_the_command_says(n: int) -> None:
    rows = votes(n, random.Random(n))
    units: dict[int, list[float]] = defaultdict(list)
    for i, c in enumerate(rows):
        turned = agreement.turned(c.prompt, c.first, c.second)
        units[i // 3].append(1 - c.probability if turned else c.probability)
    page, command = agreement.summary(units), examine(rows)
    assert page["items"] == n
    for name in ("alpha", "alpha_low", "alpha_high", "agreement", "agreement_low", "agreement_high"):
        assert page[name] == pytest.approx(command[name], abs=6e-5), name  # the command rounds
    # whichever of the two is called first, the coin is the pair's
    for c in rows:
        assert agreement.turned(c.prompt, c.first, c.second) != agreement.turned(c.prompt, c.second, c.first)


def test_half_of_all_pairs_are_turned() -> None:
    rows = votes(400, random.Random(0))[::3]
    share = sum(agreement.turned(c.prompt, c.first, c.second) for c in rows) / len(rows)
    assert abs(share - 0.5) < 4.5 * (0.25 / len(rows)) ** 0.5


def test_the_ends_of_the_scale() -> None:
    assert agreement.summary({1: [1.0, 1.0], 2: [0.0, 0.0]})["alpha"] == 1.0
    assert agreement.summary({1: [1.0, 1.0]})["alpha"] is None
    assert agreement.summary({1: [1.0], 2: [0.0]})["items"] == 0
    assert agreement.summary({})["agreement"] is None
    assert agreement.raw([1.0]) is None
    assert agreement.raw([1.0, 1.0, 0.0]) == pytest.approx(1 / 3)


def test_a_judge_beside_people_by_hand() -> None:
    """Item 1: two of three people say what it leans to; 2: it ties and nobody does; 3: the one vote agrees; 4: no vote."""
    people = {1: [1.0, 1.0, 0.0], 2: [1.0, 0.0], 3: [0.0], 4: []}
    found = agreement.with_people({1: 0.9, 2: 0.5, 3: 0.2, 4: 1.0, 5: 0.0}, people)
    assert found["items"] == 3
    assert found["agreement"] == pytest.approx((2 / 3 + 0 + 1) / 3)
    assert found["agreement_low"] < found["agreement"] < found["agreement_high"]
    assert agreement.with_people({4: 1.0}, people)["agreement"] is None
