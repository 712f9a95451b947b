"""The nano lab's utility, by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from trueward.data import nano
from trueward.records import Completion, Prompt
from trueward.scorers import simulated
from trueward.scorers.nano_utility import DistinctWords


@pytest.mark.parametrize(
    ("answer", "liked", "repeated"),
    [
        ("river stone table", 0.0, 0.0),
        ("joy river joy", 0.25, 0.0),
        ("joy smile river", 0.4375, 0.0),
        ("joy smile laugh joy joy", 0.578125, 0.0),
        ("joy joy joy joy", 0.25, -0.1),
        ("joy joy joy joy joy river river river river", 0.25, -0.3),
        ("", 0.0, 0.0),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_by_hand(answer: str, liked: float, repeated: float, finished: bool) -> None:
    completion = Completion(prompt=Prompt(text="smile joy"), response=answer, finished=finished)
    (verdict,) = DistinctWords(nano.liked("a"))([completion])
    assert verdict.parts == pytest.approx({"liked": liked, "repeated": repeated}, abs=1e-12)
    assert verdict.score == pytest.approx(liked + repeated, abs=1e-12)


def test_saved_utilities_come_back(tmp_path: Path) -> None:
    DistinctWords(nano.liked("b")).save(tmp_path / "b.json")
    again = simulated.load(tmp_path, "b")
    assert isinstance(again, DistinctWords)
    assert again.liked == set(nano.liked("b"))
