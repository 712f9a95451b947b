"""Clicks, by hand: what a click costs and moves, which pair comes next, and what a link may say."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trueward.lab import chance, presets
from trueward.lab.clicks import Click, LabRewardModel, clicked, loss, next_pair, parse, sigmoid, trained


def test_three_clicks_by_hand() -> None:
    """B over A, C over A, C over B at rate ½. The first: both at 0, so g = ½ and each moves by ¼."""
    model, losses = trained(parse("BA"), 5)
    assert model.scores == (-0.25, 0.25, 0, 0, 0)
    assert model.compared == (True, True, False, False, False)
    assert losses == [pytest.approx(math.log(2), abs=1e-12)]
    # the second: g = σ(−.25 − 0) = .437823, the third: g = σ(.25 − .218912) = .507772
    model, losses = trained(parse("BA.CA.CB"), 5)
    assert model.scores == pytest.approx((-0.468912, -0.003886, 0.472798, 0, 0), abs=1e-6)
    assert losses == pytest.approx([0.693147, 0.575939, 0.708813], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "scores"),
    [
        ("classic", (-1.065351, -0.371528, 0.339309, 1.097570, 0)),
        ("showcase", (0.106950, 0.193056, -0.492588, -1.641372, 1.833954)),
    ],
)
def test_the_annotators_scores(name: str, scores: tuple[float, ...]) -> None:
    preset = presets.preset(name)
    model, losses = trained(preset.annotated(1), 5)
    assert model.scores == pytest.approx(scores, abs=1e-6)
    assert len(losses) == len(preset.clicks) == {"classic": 12, "showcase": 33}[name]


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=3), st.booleans())
def test_a_click_is_a_gradient_step_on_its_loss(scores: list[float], tie: bool) -> None:
    model, click, h = LabRewardModel(tuple(scores), (True,) * 3), Click(0, 1, tie), 1e-5
    moved = clicked(model, click, lr=1.0)
    for i in range(3):
        up, down = [tuple(s + sign * h * (i == j) for j, s in enumerate(scores)) for sign in (1, -1)]
        slope = (
            loss(LabRewardModel(up, model.compared), click) - loss(LabRewardModel(down, model.compared), click)
        ) / (2 * h)
        assert moved.scores[i] - scores[i] == pytest.approx(-slope, abs=1e-8)


@given(st.floats(-30, 30))
def test_a_constant_changes_nothing(constant: float) -> None:
    said = [Click(0, 1), Click(2, 1), Click(0, 2, tie=True)]
    here, there = LabRewardModel.blank(3), LabRewardModel((constant,) * 3, (False,) * 3)
    for click in said:
        assert loss(there, click) == pytest.approx(loss(here, click), abs=1e-9)
        here, there = clicked(here, click, 0.5), clicked(there, click, 0.5)
    assert [s - constant for s in there.scores] == pytest.approx(here.scores, abs=1e-9)


def test_a_settled_pair_moves_less_each_time() -> None:
    moves, model = [], LabRewardModel.blank(2)
    for _ in range(8):
        after = clicked(model, Click(0, 1), 0.5)
        moves.append(after.scores[0] - model.scores[0])
        model = after
    assert moves[0] == 0.25
    assert all(later < earlier for earlier, later in itertools.pairwise(moves))


def test_ties_pull_together_and_count_as_compared() -> None:
    model = clicked(LabRewardModel((1.0, -1.0), (False, False)), Click(0, 1, tie=True), 0.5)
    assert model.scores == pytest.approx((1 - 0.5 * (sigmoid(2) - 0.5), -1 + 0.5 * (sigmoid(2) - 0.5)), abs=1e-12)
    assert model.compared == (True, True)
    assert clicked(LabRewardModel.blank(2), Click(0, 1, tie=True), 0.5).scores == (0, 0)


def test_far_scores_stay_finite() -> None:
    model = LabRewardModel((-2000.0, 2000.0), (True, True))
    assert loss(model, Click(0, 1)) == 4000
    assert clicked(model, Click(0, 1), 0.5).scores == (-1999.5, 1999.5)
    assert (sigmoid(-1000), sigmoid(1000)) == (0, 1)


def test_the_next_pair_is_one_of_the_least_compared() -> None:
    said: list[Click] = []
    for n in range(30):
        i, j = next_pair(said, 5, seed=7)
        counts = [sum({c.winner, c.loser} == {a, b} for c in said) for a in range(5) for b in range(a)]
        assert sum({c.winner, c.loser} == {i, j} for c in said) == min(counts) == n // 10
        said.append(Click(i, j))


def test_pairs_and_sides_are_even_over_seeds() -> None:
    pairs = [next_pair([], 5, seed) for seed in range(20_000)]
    for i in range(5):
        for j in range(5):
            if i != j:  # 1 in 20; 4.5 standard errors are 139
                assert abs(pairs.count((i, j)) - 1000) < 139


def test_who_is_left_out_is_never_asked_about() -> None:
    said: list[Click] = []
    for n in range(12):
        pair = next_pair(said, 5, 3, skipped=n, left_out=(4, 0))
        assert not {0, 4} & set(pair)
        said.append(Click(*pair))
    with pytest.raises(ValueError, match="at least two"):
        next_pair([], 5, 3, left_out=(0, 1, 2, 3))


@pytest.mark.parametrize("text", ["B", "BB", "ba", "AF", "A==B", "A-B", "AB,BC"])
def test_clicks_that_mean_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="expected two different letters"):
        parse(text)


def test_clicks_as_a_link_writes_them() -> None:
    assert parse("") == []
    assert parse("BA.C=E") == [Click(1, 0), Click(2, 4, tie=True)]


def test_chance_is_even_and_its_streams_are_strangers() -> None:
    n = 40_000
    streams = [
        [chance.uniform(5, stream, i) for i in range(n)] for stream in (chance.PAIRS, chance.SIDES, chance.NOISE)
    ]
    for values in streams:
        assert abs(sum(values) / n - 0.5) < 4.5 * math.sqrt(1 / 12 / n)
        counts = [sum(1 for v in values if int(v * 10) == k) for k in range(10)]
        assert sum((c - n / 10) ** 2 / (n / 10) for c in counts) < 37  # χ² of 9 degrees: p = 3e-5
        lag = sum((a - 0.5) * (b - 0.5) for a, b in itertools.pairwise(values)) / n
        assert abs(lag) < 4.5 / 12 / math.sqrt(n)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        both = sum((x - 0.5) * (y - 0.5) for x, y in zip(streams[a], streams[b], strict=True)) / n
        assert abs(both) < 4.5 / 12 / math.sqrt(n)


def test_chance_as_it_was() -> None:
    """Links that people have kept must go on showing the same pairs."""
    assert [next_pair([], 5, seed) for seed in range(4)] == [(2, 3), (3, 0), (0, 1), (1, 3)]
    assert chance.uniform(2**32 + 1, 1, 0) == chance.uniform(1, 1, 0)


def test_a_noisy_annotator_errs_as_often_as_it_says() -> None:
    preset = presets.preset("noisy")
    wrong = [
        said != meant for seed in range(400) for said, meant in zip(preset.annotated(seed), preset.clicks, strict=True)
    ]
    assert abs(sum(wrong) / len(wrong) - 0.3) < 4.5 * math.sqrt(0.21 / len(wrong))
    assert presets.preset("honest").annotated(1) == list(presets.preset("honest").clicks)


def test_annotators_are_what_they_are_called() -> None:
    honest, inverted = presets.preset("honest"), presets.preset("inverted")
    assert all(honest.truths[c.winner] > honest.truths[c.loser] for c in honest.clicks)
    assert inverted.clicks == tuple(Click(c.loser, c.winner) for c in honest.clicks)
    assert {c.winner for c in presets.preset("always-e").clicks} == {4}
    assert not any(4 in (c.winner, c.loser) for c in presets.preset("classic").clicks)
    with pytest.raises(ValueError, match="expected one of classic, showcase"):
        presets.preset("modern")
