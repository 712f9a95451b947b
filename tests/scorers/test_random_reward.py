"""The reward that says nothing: standard normal, blind to what is written, and the same after a resume."""

from __future__ import annotations

import numpy as np

from trueward.records import Comparison, Completion, Prompt
from trueward.scorers.random_reward import RandomReward, coin_flips
from trueward.scorers.scorer import scores


def answers(n: int, text: str = "r") -> list[Completion]:
    return [Completion(prompt=Prompt(text="p"), response=f"{text}{i}") for i in range(n)]


def test_standard_normal_whatever_is_said() -> None:
    x = scores(RandomReward(0, lambda: 3), answers(4000))
    assert abs(x.mean()) <= 4.5 / np.sqrt(4000)
    assert abs(x.std() - 1) <= 4.5 / np.sqrt(8000)
    assert (x == scores(RandomReward(0, lambda: 3), answers(4000, "other"))).all()


def test_it_depends_on_the_step_and_on_how_often_it_was_asked_there() -> None:
    at = [0]
    reward = RandomReward(0, lambda: at[0])
    first, again = scores(reward, answers(5)), scores(reward, answers(5))
    at[0] = 1
    later = scores(reward, answers(5))
    assert len({x[0] for x in (first, again, later)}) == 3
    resumed = RandomReward(0, lambda: 1)  # another process, that begins at step 1
    assert (scores(resumed, answers(5)) == later).all()
    assert (scores(RandomReward(1, lambda: 1), answers(5)) != later).all()


def test_coins_turn_half_of_the_comparisons_round() -> None:
    sides = {side: {"id": side, "text": side} for side in ("first", "second")}
    one = {"prompt": {"text": "p"}, **sides, "probability": 1.0, "source": "s"}
    rows = [Comparison.model_validate(one)] * 1000
    turned = coin_flips(rows, seed=0)
    share = np.mean([c.probability == 0.0 for c in turned])
    assert abs(share - 0.5) <= 4.5 * 0.5 / np.sqrt(1000)
    assert [c.probability for c in coin_flips(rows, seed=0)] == [c.probability for c in turned]
