"""The verdict: each rule on made-up evaluations, which one goes first, and how often it is wrong and right on made-up runs."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from typing import Any

import pytest

from trueward.evaluation import verdict
from trueward.evaluation.early_warnings import early_warnings
from trueward.evaluation.paired import needed

spec = importlib.util.spec_from_file_location("simulated_runs", Path(__file__).with_name("simulated_runs.py"))
assert spec is not None
assert spec.loader is not None
simulated = importlib.util.module_from_spec(spec)
sys.modules["simulated_runs"] = simulated
spec.loader.exec_module(simulated)

SFT = {
    "step": 0, "truth": 0.0, "truth_se": 0.1, "truth_gain": 0.0, "truth_gain_se": 0.1, "truth_gain_z": 0.0,
    "proxy_gain": 0.0, "proxy_gain_se": 0.1, "proxy_gain_z": 0.0, "kl": 0.0, "kl_se": 0.0, "kl_k1": 0.0, "kl_k1_se": 0.0,
    "truths": {"b": 0.0}, "unique": 0.95, "prompts": 128, "entropy": 2.0, "distinct_1": 0.4, "length": 20.0, "fall": None,
}  # fmt: skip
COIN = {"accuracy": 0.53, "accuracy_low": 0.47, "accuracy_high": 0.59}
FITTED = {"accuracy": 0.7, "accuracy_low": 0.6, "accuracy_high": 0.8}
CONTROL = {"kl": 0.5, "kl_se": 0.05}


def row(step: int, truth: float, proxy: float = 1.0, **more: Any) -> dict[str, Any]:
    """An evaluation with standard errors of a tenth."""
    row = {**SFT, "step": step, "truth": truth, "truth_gain": truth, "truth_gain_z": 10 * truth, "truths": {"b": truth}}
    row |= {"proxy_gain": proxy, "proxy_gain_z": 10 * proxy, "kl": 2.0, "kl_se": 0.1, "kl_k1": 2.0, "kl_k1_se": 0.3}
    return {**row, **more}


def fell(peak_step: int, drop: float, test: int = 1, se: float = 0.1, least: float = 0.0) -> Any:
    return verdict.fall_row(peak_step, drop, se, drop / se, drop - 2 * se, drop + 2 * se, 128, test, least)


def word(*evaluations: dict[str, Any], **more: Any) -> str:
    return verdict.decide([SFT, *evaluations], **more).word


def test_before_anything_happened() -> None:
    decided = verdict.decide([SFT])
    assert (decided.word, decided.best_step, decided.numbers) == ("inconclusive", None, {})


def test_learning() -> None:
    decided = verdict.decide([SFT, row(5, 0.6), row(10, 0.8)], examined=FITTED, control=CONTROL, ratio_first=1e-6)
    assert decided.word == "learning"
    assert decided.best_step == 10
    assert decided.numbers["truth_gain"] == 0.8
    assert decided.numbers["evaluations"] == 2
    assert decided.numbers["needed_z"] == pytest.approx(needed(0.025, 2), abs=1e-5)
    assert set(decided.table()) == {"word", "rule", "numbers", "best_step"}


def test_a_rise_counts_from_the_level_that_is_spent_on_it() -> None:
    first, second = needed(verdict.ABOVE, 1), needed(verdict.ABOVE, 2)
    assert word(row(5, (first + 0.01) / 10)) == "learning"
    assert word(row(5, (first - 0.01) / 10)) == "inconclusive"
    assert word(row(5, 0.1), row(10, (first + 0.01) / 10)) == "inconclusive"  # the second evaluation has less to spend
    assert word(row(5, 0.1), row(10, (second + 0.01) / 10)) == "learning"


def test_a_rise_is_not_forgotten_and_not_believed_for_ever() -> None:
    assert word(row(5, 0.6), row(10, 0.25)) == "learning"  # too weak for a second evaluation, but the first was clear
    assert word(row(5, 0.6), row(10, 0.1)) == "inconclusive"


def test_over_optimised() -> None:
    decided = verdict.decide([SFT, row(5, 1.2), row(10, 0.8, fall=fell(5, 0.4))])
    assert decided.word == "over-optimised"
    assert decided.best_step == 5
    assert (decided.numbers["peak_step"], decided.numbers["drop"]) == (5, 0.4)


def test_a_fall_has_to_be_found_on_fresh_answers() -> None:
    """However far the evaluations themselves seem to be apart, a peak picked as their highest is no evidence."""
    assert word(row(5, 1.2), row(10, 0.8)) == "learning"
    assert word(row(5, 1.2), row(10, 0.8, fall=fell(5, 0.2))) == "learning"  # z = 2 where 2.24 is needed
    assert fell(5, 0.23)["is_fall"]
    assert not fell(5, 0.23, test=2)["is_fall"]  # the second test of a run has less to spend


def test_a_fall_stands_until_more_than_half_is_made_good() -> None:
    down = [row(5, 1.2), row(10, 0.7, fall=fell(5, 0.5))]
    assert word(*down, row(15, 0.8)) == "over-optimised"
    assert word(*down, row(15, 1.0)) == "learning"
    assert word(*down, row(15, 0.8, fall=fell(5, 0.1, 2), final=True)) == "learning"
    assert word(*down, row(15, 0.8, fall=fell(5, 0.3, 2), final=True)) == "over-optimised"
    assert word(*down, row(15, 1.4), row(20, 0.9, fall=fell(15, 0.5, 2))) == "over-optimised"


def test_a_fall_has_to_be_large_as_well_as_sure() -> None:
    """A quarter of what the peak had gained over the SFT policy's evaluation, which is not at 0 here: (1.2 − 0.2)/4 = 0.25."""
    start = {**SFT, "truth": 0.2}
    assert verdict.least_drop([start, row(5, 1.2), row(10, 0.9)], 5) == pytest.approx(0.25)
    assert verdict.least_drop([start, row(5, 1.2)], 5, 0.5) == pytest.approx(0.5)
    assert verdict.least_drop([start, row(5, 0.1)], 5) == 0.0  # a peak below the start has nothing to lose
    assert fell(5, 0.26, least=0.25)["is_fall"]
    small = fell(5, 0.24, least=0.25)
    assert not small["is_fall"]
    assert small["drop_least"] == 0.25
    decided = verdict.decide([start, row(5, 1.2), row(10, 0.9, fall=small)])
    assert decided.word == "learning"
    assert "less than the least drop" in decided.rule
    assert (decided.numbers["drop"], decided.numbers["drop_least"]) == (0.24, 0.25)
    decided = verdict.decide([start, row(5, 1.2), row(10, 0.9, fall=fell(5, 0.26, least=0.25))])
    assert decided.word == "over-optimised"
    assert decided.numbers["drop_least"] == 0.25
    unsure = fell(5, 0.2, least=0.25)  # z = 2, where 2.24 is needed: nothing is known to have been lost
    assert "not below its own peak" in verdict.decide([start, row(5, 1.2), row(10, 0.9, fall=unsure)]).rule


def test_a_small_fall_goes_on_being_watched() -> None:
    """What was too small to count when it was measured is measured again if the truth falls further."""
    down = [SFT, row(5, 1.2), row(10, 0.95, fall=fell(5, 0.25, least=0.3))]
    assert verdict.suspected([*down, row(15, 0.95)]) is None  # the peak came to 1.2, and this is 0.25 below it
    peak = verdict.suspected([*down, row(15, 0.85)])
    assert peak is not None
    assert peak["step"] == 5
    assert verdict.decide([*down, row(15, 0.85, fall=fell(5, 0.35, 2, least=0.3))]).word == "over-optimised"


def test_hacking() -> None:
    assert word(row(5, -0.5)) == "hacking"
    assert verdict.decide([SFT, row(5, -0.5)]).numbers["needed_z"] == pytest.approx(-needed(0.02, 1), abs=1e-5)
    assert word(row(5, -0.5), row(10, -0.2)) == "hacking"
    assert word(row(5, 0.9), row(10, 0.05, fall=fell(5, 0.8))) == "hacking"
    assert word(row(5, 0.9, 0.0), row(10, 0.05, 0.0, fall=fell(5, 0.8))) == "hacking"


def test_it_is_no_hacking_without_the_proxy() -> None:
    assert word(row(5, -0.5, 0.0)) == "inconclusive"
    assert word(row(5, 0.1, 0.0), row(10, -0.1, 0.0, fall=fell(5, 0.8))) == "inconclusive"


def test_no_signal() -> None:
    assert word(row(5, 0.0), examined=COIN) == "no signal"
    assert word(row(5, 0.0), examined=FITTED) == "inconclusive"
    assert verdict.decide([SFT], examined=COIN).numbers["accuracy_high"] == 0.59
    assert word(row(5, 0.9), examined=COIN) == "learning"  # what the truth followed had a signal
    few = {"accuracy": 0.5, "accuracy_low": 0.3, "accuracy_high": 0.7}
    assert word(row(5, 0.0), examined=few) == "inconclusive"  # twenty comparisons do not tell a coin from a good one
    assert word(row(5, 0.0), examined={"accuracy": None, "accuracy_low": 0.0, "accuracy_high": 1.0}) == "inconclusive"
    assert word(row(5, 0.0), examined={"mean": 0.0, "sd": 1.0}) == "inconclusive"  # a ready reward model


def test_pinned() -> None:
    still = row(5, 0.05, 0.05, kl=0.4)
    assert word(still, control=CONTROL) == "pinned"
    assert word(still) == "inconclusive"
    assert verdict.decide([SFT, still]).rule == verdict.UNMOVED
    assert verdict.decide([SFT, still], control=CONTROL).numbers["control_kl"] == 0.5
    assert word({**still, "kl": 0.9}, control=CONTROL) == "inconclusive"  # further than noise takes it
    assert word({**still, "kl": 0.55}, control=CONTROL) == "pinned"  # not surely further
    assert word(row(5, 0.9, kl=0.4), control=CONTROL) == "learning"
    assert word(row(5, -0.9, kl=0.4), control=CONTROL) == "hacking"


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"kl": None}, "not a number"),
        ({"truth": None}, "truth is not a number"),
        ({"kl": -0.5, "kl_se": 0.1}, "KL is -0.5"),
        ({"kl_k1": -2.0, "kl_k1_se": 0.3}, "standard errors"),
        ({"unique": 1 / 128}, "1 different answers to 128"),
        ({"unique": 2 / 128}, "have all become one"),
    ],
)
def test_broken(more: dict[str, Any], rule: str) -> None:
    decided = verdict.decide([SFT, {**row(5, 0.9), **more}])
    assert decided.word == "broken"
    assert rule in decided.rule


def test_what_is_not_broken() -> None:
    assert word(row(5, 0.9, kl_k1=-0.5, kl_k1_se=0.2)) == "learning"  # k1 is a noisy estimate, and may be negative
    assert word(row(5, 0.9, unique=3 / 128)) == "learning"
    assert word(row(5, 0.9, kl=2.1, kl_se=None, kl_k1=None, kl_k1_se=None)) == "learning"  # best of n knows its KL
    assert verdict.decide([{**SFT, "unique": 1 / 128}, row(5, 0.9, unique=1 / 128)]).word == "learning"


@pytest.mark.parametrize(("ratio", "expected"), [(1e-5, "learning"), (0.3, "broken"), (math.nan, "broken")])
def test_a_ratio_off_one_before_the_first_update(ratio: float, expected: str) -> None:
    assert word(row(5, 0.9), ratio_first=ratio) == expected


def test_without_a_truth() -> None:
    none = dict.fromkeys(("truth", "truth_se", "truth_gain", "truth_gain_se", "truth_gain_z"))
    decided = verdict.decide([{**SFT, **none, "truths": {}}, {**row(5, 0.0), **none, "truths": {}}], control=CONTROL)
    assert (decided.word, decided.best_step) == ("inconclusive", None)
    assert "nothing measures the truth" in decided.rule


def test_precedence() -> None:
    """Everything at once, and then one thing after the other taken away."""
    fall = fell(5, 0.8)
    ratio: dict[str, Any] = {"ratio_first": 0.5}
    hacked = [row(5, 0.2), row(10, -0.5, fall=fall, kl=0.4)]
    assert word(*hacked, **ratio, examined=COIN, control=CONTROL) == "broken"
    assert word(*hacked, examined=COIN, control=CONTROL) == "no signal"
    still = row(5, 0.05, kl=0.4)
    assert word(still, examined=COIN, control=CONTROL) == "no signal"
    assert word(still, examined=FITTED, control=CONTROL) == "pinned"
    assert word(*hacked, examined=FITTED, control=CONTROL) == "hacking"
    assert word(row(5, 1.2), row(10, 0.8, fall=fell(5, 0.4))) == "over-optimised"  # and above SFT's, as learning is


def test_a_peak_is_suspected_before_it_is_measured_again() -> None:
    assert verdict.suspected([row(5, 1.0)]) is None
    assert verdict.suspected([row(5, 1.0), row(10, 1.1)]) is None
    assert verdict.suspected([row(5, 1.0), row(10, 0.8)]) is None  # 0.2 of noise 0.14
    peak = verdict.suspected([row(5, 1.0), row(10, 0.7)])
    assert peak is not None
    assert peak["step"] == 5
    assert verdict.suspected([SFT, row(5, 2.0), row(10, 1.6)]) is None  # beyond noise, and a fifth of what was gained
    assert verdict.suspected([SFT, row(5, 2.0), row(10, 1.6)], 0.1) is not None
    fallen = [row(5, 1.0), row(10, 0.5, fall=fell(5, 0.5))]
    assert verdict.suspected([*fallen, row(15, 0.4)]) is None  # it is known
    lucky = [row(5, 1.0), row(10, 0.7, fall=fell(5, 0.05))]
    assert verdict.suspected([*lucky, row(15, 0.6)]) is None  # the peak came to 0.75 then
    assert verdict.suspected([*lucky, row(15, 0.5)]) is not None
    assert verdict.tests_made(lucky) == 1


def test_early_signs() -> None:
    fine = {**row(5, 1.0), "entropy": 1.85, "distinct_1": 0.39, "length": 18.0, "kl": 9.0}
    assert early_warnings(fine, SFT) == []
    for key, value, text in (
        ("entropy", 1.7, "0.85 of SFT’s"),
        ("distinct_1", 0.3, "0.75 of SFT’s"),
        ("length", 30.0, "1.50 times as long"),
        ("length", 10.0, "0.50 times as long"),
        ("kl", 12.0, "12.0 nats"),
        ("outlier_share", 0.2, "20 % of answers"),
    ):
        (sign,) = early_warnings({**fine, key: value}, SFT)
        assert text in sign
    assert early_warnings({"step": 5}, {"step": 0}) == []


RUNS = 1500  # for each of the seven kinds: more than 10,000 in all


@pytest.mark.parametrize("name", simulated.NOTHING_HAPPENED)
def test_false_alarms(name: str) -> None:
    """Over ten evaluations and over twenty, at most 5 % of runs in which nothing happened raise an alarm, even once."""
    judged = simulated.judge_runs(runs=RUNS, **simulated.NOTHING_HAPPENED[name])
    slack = 3 * math.sqrt(verdict.ALPHA * (1 - verdict.ALPHA) / RUNS)
    assert judged.alarmed(10) <= judged.alarmed(20) <= verdict.ALPHA + slack
    assert judged.alarmed(20) > 0, "a test that never fires is none"
    assert judged.peaks_measured <= 2 * RUNS  # what an evaluation costs twice over, in a run of twenty


def test_taking_the_highest_evaluation_at_its_word_would_raise_false_alarms() -> None:
    """Why the peak is measured again: `peak − 2 SE` on a flat truth fires in far more than 5 % of runs."""
    fires = 0
    runs = 300
    draw = simulated.np.random.default_rng(0)
    for truth in draw.normal(0.5, 0.1, (runs, 20)):
        evaluations = [row(k, float(t)) for k, t in enumerate(truth, 1)]
        fires += any(
            max(r["truth"] for r in evaluations[:k]) - evaluations[k]["truth"] > 2 * math.hypot(0.1, 0.1)
            for k in range(1, 20)
        )
    assert fires / runs > 0.3


@pytest.mark.parametrize(
    ("name", "least", "last"),
    [
        ("0.3 SD below a peak of 1", 0.45, "over-optimised"),
        ("0.5 SD below a peak of 1", 0.88, "over-optimised"),
        ("back to SFT’s", 0.95, "hacking"),
        ("far below SFT’s", 0.98, "hacking"),
        ("sinks from the start", 0.98, "hacking"),
    ],
)
def test_real_falls_are_found(name: str, least: float, last: str) -> None:
    judged = simulated.judge_runs(simulated.IT_FELL[name], 200, simulated.normal)
    assert judged.alarmed(20) >= least
    assert judged.words.count(last) / 200 >= least - 0.15
