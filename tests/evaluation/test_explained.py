"""What of a reward endings and lengths explain: shares known by construction."""

from __future__ import annotations

import numpy as np
import pytest

from trueward.evaluation.explained import explained_shares
from trueward.records import Completion, Prompt


def answers(words: np.ndarray, ended: np.ndarray) -> list[Completion]:
    return [
        Completion(prompt=Prompt(text="p"), response=" ".join(["w"] * int(n)), finished=bool(f))
        for n, f in zip(words, ended, strict=True)
    ]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_the_share_that_was_put_in(share: float) -> None:
    draw = np.random.default_rng(0)
    ended, words = draw.random(4000) < 0.5, draw.integers(1, 30, 4000)
    for name, cause in (("explained_by_ending", ended), ("explained_by_length", words)):
        standard = (cause - cause.mean()) / cause.std()
        scores = share**0.5 * standard + (1 - share) ** 0.5 * draw.normal(size=4000)
        found = explained_shares(scores, answers(words, ended))
        assert found[name] == pytest.approx(share, abs=0.06)


def test_length_is_judged_among_answers_that_ended() -> None:
    """Cut answers are the longest; what they lose by being cut is no liking for brevity."""
    draw = np.random.default_rng(1)
    ended = draw.random(1000) < 0.5
    words = np.where(ended, draw.integers(1, 20, 1000), 20)
    found = explained_shares(np.where(ended, 1.0, -1.0) + 0.1 * draw.normal(size=1000), answers(words, ended))
    assert found["explained_by_ending"] > 0.95
    assert found["explained_by_length"] < 0.05


def test_chance_is_taken_off() -> None:
    draw = np.random.default_rng(2)
    found = [
        explained_shares(draw.normal(size=24), answers(draw.integers(1, 9, 24), np.ones(24, bool))) for _ in range(400)
    ]
    shares = [row["explained_by_length"] for row in found]
    assert np.mean([share for share in shares if share is not None]) < 0.03  # 1/23 without


def test_what_can_not_be_said_is_not() -> None:
    ten, many = np.arange(10), np.arange(40)
    assert explained_shares(ten, answers(ten + 1, np.ones(10))) == dict.fromkeys(
        ("explained_by_ending", "explained_by_length")
    )
    assert explained_shares(many, answers(many + 1, np.ones(40)))["explained_by_ending"] is None
    assert explained_shares(np.zeros(40), answers(many + 1, many % 2))["explained_by_length"] is None
