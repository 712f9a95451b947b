"""The promise of 5 % where samples are small or crooked: jackpots, truths of 0 and 1, few prompts, nothing that varies."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trueward.evaluation import verdict
from trueward.evaluation.betting import STAKES, bounded_score, capital
from trueward.evaluation.paired import FEWEST, needed, paired
from trueward.evaluation.truth import span_between
from trueward.evaluation.verdict_monitor import VerdictMonitor

spec = importlib.util.spec_from_file_location("simulated_runs", Path(__file__).with_name("simulated_runs.py"))
assert spec is not None
assert spec.loader is not None
simulated = importlib.util.module_from_spec(spec)
sys.modules["simulated_runs"] = simulated
spec.loader.exec_module(simulated)

RUNS, LOOKS = 400, 20
SLACK = 3 * math.sqrt(verdict.ALPHA * (1 - verdict.ALPHA) / RUNS)
JACKPOT = 0.02
SD = math.sqrt(JACKPOT * (1 - JACKPOT))


def jackpots(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Mean 0, SD 1: 2 % of answers are worth 50 times as much as the others are short of the mean."""
    return ((draw.random(shape) < JACKPOT) - JACKPOT) / SD


def constant(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape)


@pytest.mark.parametrize("prompts", [32, 128])
def test_jackpots_without_bounds(prompts: int) -> None:
    """Samples without any jackpot, 8 % of them at 128 prompts, don't vary at all: nine runs in ten alarmed."""
    judged = simulated.judge_runs([0.0] * LOOKS, RUNS, jackpots, prompts=prompts, sft_noise=constant)
    assert judged.alarmed(LOOKS) <= verdict.ALPHA + SLACK


def false_answers(ours: Any, theirs: Any, prompts: int, span: float, seed: int = 0) -> tuple[float, float]:
    """Of RUNS runs of LOOKS evaluations without a difference, the shares that ever test below, and above."""
    draw = np.random.default_rng(seed)
    below, above = np.zeros(RUNS, bool), np.zeros(RUNS, bool)
    for k in range(1, LOOKS + 1):
        rows = zip(ours(draw, (RUNS, prompts)), theirs(draw, (RUNS, prompts)), strict=True)
        z = np.array([paired(one, other, span).z for one, other in rows])
        below |= z <= -needed(verdict.BELOW, k)
        above |= z >= needed(verdict.ABOVE, k)
    return float(below.mean()), float(above.mean())


def noisy(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Jackpots among answers that vary a little: a sample without one looks like any other, and t is sure of itself."""
    return np.clip((draw.random(shape) < JACKPOT) * 0.96 + 0.02 * draw.random(shape), 0, 1)


def level(draw: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return np.full(shape, JACKPOT * 0.96 + 0.01)


def coin(chance: float) -> Any:
    return lambda draw, shape: (draw.random(shape) < chance).astype(float)


@pytest.mark.parametrize("prompts", [32, 128])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(noisy, level), (coin(0.02), coin(0.02)), (coin(0.02), lambda d, s: np.full(s, 0.02)), (coin(0.5), coin(0.5))],
)
def test_a_truth_with_bounds_is_tested_by_betting(ours: Any, theirs: Any, prompts: int) -> None:
    below, above = false_answers(ours, theirs, prompts, 1.0)
    assert below <= verdict.BELOW + 3 * math.sqrt(verdict.BELOW / RUNS)
    assert above <= verdict.ABOVE + 3 * math.sqrt(verdict.ABOVE / RUNS)


def test_without_bounds_small_noise_hides_them() -> None:
    """What the promise's condition is about: no test can know of answers that it was neither given nor told of."""
    draw = np.random.default_rng(1)
    rows = zip(noisy(draw, (RUNS, 128)), level(draw, (RUNS, 128)), strict=True)
    assert np.mean([paired(*row).z <= -needed(verdict.BELOW, 1) for row in rows]) > 0.05


@pytest.mark.parametrize(("gain", "least"), [(0.25, 0.7), (0.4, 0.99)])
def test_betting_sees_what_is_there(gain: float, least: float) -> None:
    """Of 128 answers scored 0 or 1, a quarter more that are right: in 80 % of cases, where t would see it in 96 %."""
    draw = np.random.default_rng(0)
    ours, theirs = (draw.random((300, 128)) < chance for chance in (0.4 + gain, 0.4))
    z = [paired(one, other, 1.0).z for one, other in zip(ours.astype(float), theirs.astype(float), strict=True)]
    assert np.mean(np.array(z) >= needed(verdict.ABOVE, 1)) >= least


def test_capital_by_hand() -> None:
    """One value of half the bound: the mean over the stakes of 1 + λ/2, λ of the largest stake without ruin."""
    assert capital(np.array([0.5]), -1.0) == pytest.approx((1 + STAKES / 2).mean())
    assert capital(np.array([0.5, -1.0]), -1.0) == pytest.approx(((1 + STAKES / 2) * (1 - STAKES)).mean())
    assert bounded_score(np.ones(500), 1.0) > 8
    assert bounded_score(-np.ones(500), 1.0) < -8
    assert bounded_score(np.array([1.0, -1.0]), 1.0) == 0.0
    assert math.isnan(bounded_score(np.array([np.nan]), 1.0))


@pytest.mark.parametrize("prompts", [2, 4, 8, 16])
def test_on_few_prompts_it_is_inconclusive(prompts: int) -> None:
    for noise in (simulated.normal, jackpots):
        judged = simulated.judge_runs([-3.0] * 5, 50, noise, prompts=prompts, sft_noise=constant)
        assert judged.alarmed(5) == 0
        assert set(judged.words) == {"inconclusive"}
    rows = [{"step": k, "truth": 0.0, "truth_gain_z": -9.0, "proxy_gain_z": 9.0, "prompts": prompts} for k in (0, 1)]
    decided = verdict.decide(rows)
    assert f"{prompts} prompts are too few" in decided.rule
    assert decided.numbers["prompts_missing"] == FEWEST - prompts
    assert verdict.decide([{**row, "prompts": FEWEST} for row in rows]).word == "hacking"


@pytest.mark.parametrize("name", ["flat at SFT’s, normal", "flat at SFT’s, skewed"])
def test_the_promise_at_the_floor(name: str) -> None:
    judged = simulated.judge_runs(runs=RUNS, prompts=FEWEST, **simulated.NOTHING_HAPPENED[name])
    assert judged.alarmed(20) <= verdict.ALPHA + SLACK


@pytest.mark.parametrize(("compares", "widest"), [(True, 2.0), (False, 1.0)])
def test_two_policies_may_be_on_both_sides_of_the_reference(compares: bool, widest: float) -> None:
    """A judge that compares puts each within 1 of the reference's answers, so the two within 2 of each other."""
    truth = SimpleNamespace(span=1.0, compares=compares)
    assert span_between(truth) == widest
    assert span_between(SimpleNamespace(span=None, compares=compares)) is None
    far = np.full(30, 0.45 * widest)
    found = {"peak": far, "policy": -far}
    evaluator = SimpleNamespace(seed=0, truths=[truth], truth=lambda policy, prompts, n, *where: found[where[-1]])
    monitor = SimpleNamespace(evaluator=evaluator, drawn=lambda step: [], best=lambda: None, policy=None)
    row = VerdictMonitor.measure_again(monitor, 4, 9, 1)
    assert row is not None
    assert row["drop"] == pytest.approx(0.9 * widest)
