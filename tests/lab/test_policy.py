"""The ascent: the tables' numbers, its gradient by finite differences, and where it ends by the closed form."""

from __future__ import annotations

import itertools
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

from trueward.lab import clicks, policy, tilt, trap
from trueward.lab.sitting import sit

EXAMPLES = json.loads(Path(__file__).with_name("examples.json").read_text(encoding="utf-8"))
PRESETS = ("classic", "showcase", "honest", "always-e", "inverted", "noisy")


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{e['preset']} {e['beta']}" for e in EXAMPLES])
def test_the_tables(example: dict[str, Any]) -> None:
    said = clicks.parse("") if example.get("clicks") == "none" else None
    found = sit(example["preset"], [(example["beta"], 3000)], said)
    first, last = found.run.history[0], found.run.history[-1]
    assert last.step == 3000
    assert [first.proxy, first.true] == pytest.approx(example["start"], abs=6e-4)
    assert [last.proxy, last.true, last.kl] == pytest.approx([example[k] for k in ("proxy", "true", "kl")], abs=6e-4)
    assert found.verdict.word == example["word"]
    if "peak" in example:
        assert first.true + found.verdict.peak == pytest.approx(example["peak"][0], abs=6e-4)
        assert found.verdict.peak_step == example["peak"][1]


@pytest.mark.parametrize("beta", [0.01, 0.05, 0.3, 1, 3])
@pytest.mark.parametrize("preset", ["classic", "showcase"])
def test_honest_clicks_never_hack(preset: str, beta: float) -> None:
    truths = sit(preset).preset.truths
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5)]
    said = [clicks.Click(*sorted(pair, key=lambda k: -truths[k])) for pair in pairs] * 3
    found = sit(preset, [(beta, 3000)], said)
    assert found.verdict.word == "learning"
    if beta == 0.05:
        assert found.run.history[-1].true == pytest.approx(max(truths), abs=6e-4)  # .950 in the classic preset


@pytest.mark.parametrize("beta", [0.05, 0.3, 1, 2, 3, 10, 100])
def test_an_anchor_does_not_mend_a_wrong_reward(beta: float) -> None:
    found = sit("always-e", [(beta, 1500)])
    assert found.run.history[-1].true < found.run.history[0].true
    assert found.verdict.word == ("hacking" if beta <= 2 else "pinned" if beta < 20 else "no signal")
    assert tilt.best(found.sweep()).beta == 100


def settings(count: int) -> list[tuple[list[float], list[float], list[float], float]]:
    """Random logits, proxies, references (as logs) and βs."""
    chance = random.Random(0)
    rows = []
    for _ in range(count):
        logits, proxy = [[chance.gauss(0, 2) for _ in range(5)] for _ in range(2)]
        reference = policy.log_softmax([chance.gauss(0, 1) for _ in range(5)])
        rows.append((logits, proxy, reference, 10 ** chance.uniform(-2, 2)))
    return rows


def slope(of: Any, logits: list[float], h: float = 1e-5) -> list[float]:
    moved = [[x + sign * h * (i == j) for j, x in enumerate(logits)] for i in range(len(logits)) for sign in (1, -1)]
    values = [of(policy.log_softmax(at)) for at in moved]
    return [(up - down) / (2 * h) for up, down in zip(values[::2], values[1::2], strict=True)]


def test_the_gradient_by_finite_differences() -> None:
    for logits, proxy, reference, beta in settings(100):
        measured = slope(lambda at: policy.objective(at, proxy, reference, beta), logits)  # noqa: B023
        exact = policy.gradient(logits, proxy, reference, beta)
        assert exact == pytest.approx(measured, abs=1e-7 * max(1, beta))
        assert sum(exact) == pytest.approx(0, abs=1e-9 * max(1, beta))  # a softmax forgets a constant


def test_the_trap_is_not_the_gradient() -> None:
    for logits, _, reference, beta in settings(100):
        measured = slope(lambda at: -beta * policy.kl(at, reference), logits)  # noqa: B023
        assert trap.anchor_slope(logits, reference, beta) == pytest.approx(measured, abs=1e-7 * max(1, beta))
        wrong = trap.short_form(logits, reference, beta)
        assert max(abs(a - b) for a, b in zip(wrong, measured, strict=True)) > 1e-3 * beta
    at_home = [math.log(p) for p in (0.12, 0.26, 0.32, 0.29, 0.01)]
    assert trap.anchor_slope(at_home, at_home, 1) == pytest.approx([0] * 5, abs=1e-15)
    assert all(x < 0 for x in trap.short_form(at_home, at_home, 1))


@pytest.mark.parametrize("beta", [0.3, 0.5, 1, 3, 10, 30, 100])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_ascent_ends_in_the_closed_form(preset: str, beta: float) -> None:
    found = sit(preset, [(beta, 3000)])
    goal = [math.exp(x) for x in tilt.tilted(found.proxy, found.preset.reference, beta)]
    assert sum(abs(p - q) for p, q in zip(found.run.policy, goal, strict=True)) / 2 < 5e-3


@pytest.mark.parametrize("preset", PRESETS)
def test_no_policy_is_above_the_closed_form(preset: str) -> None:
    for beta in (0.01, 0.05, 0.3, 1, 10, 100):
        found = sit(preset, [(beta, 300)])
        reference = [math.log(p) for p in found.preset.reference]
        most = tilt.best_objective(found.proxy, found.preset.reference, beta)
        assert policy.objective(found.run.log_policy, found.proxy, reference, beta) <= most + 1e-12
        tilted = tilt.tilted(found.proxy, found.preset.reference, beta)
        assert policy.objective(tilted, found.proxy, reference, beta) == pytest.approx(most, abs=1e-9)


def test_the_objective_never_falls() -> None:
    for preset in PRESETS:
        for beta in (0.01, 0.3, 3, 100):
            found = sit(preset, [(beta, 400)])
            values = [step.proxy - beta * step.kl for step in found.run.history]
            assert all(b >= a - 1e-9 for a, b in itertools.pairwise(values)), (preset, beta)


@pytest.mark.parametrize("beta", [0.01, 0.1, 10, 100])
@pytest.mark.parametrize("score", [1.5, 60.0])
def test_every_number_is_finite(beta: float, score: float) -> None:
    found = sit("classic", [(beta, 2000)], blind=score)
    history = found.run.history
    assert all(math.isfinite(x) for step in history for x in (step.proxy, step.true, step.kl))
    assert all(math.isfinite(x) for point in found.sweep() for x in (point.proxy, point.true, point.kl))
    assert sum(found.run.policy) == pytest.approx(1, abs=1e-12)
    assert all(step.kl >= 0 for step in history)


def test_a_changed_beta_goes_on_from_the_policy_so_far() -> None:
    first = sit("showcase", [(0.3, 78)])
    both = sit("showcase", [(0.3, 78), (3, 300)])
    assert both.run.history[:79] == first.run.history
    # and the resting place depends on the last β alone
    assert both.run.history[-1].true == pytest.approx(sit("showcase", [(3, 3000)]).run.history[-1].true, abs=1e-3)
    assert both.verdict.word == "over-optimised"
    split = sit("showcase", [(0.3, 40), (0.3, 38)])
    assert split.run == first.run
    with pytest.raises(ValueError, match="expected a number above 0"):
        sit("showcase", [(0, 1)])


def test_a_constant_on_every_score_changes_no_policy() -> None:
    found = sit("classic", [(0.3, 300)])
    shifted = policy.proxies(found.model, found.preset.blind, shift=1)
    assert shifted == pytest.approx([r + 1 for r in found.proxy])
    moved = policy.run(shifted, found.preset.truths, found.preset.reference, [(0.3, 300)])
    assert moved.policy == pytest.approx(found.run.policy, abs=1e-12)
    assert moved.history[-1].proxy == pytest.approx(found.run.history[-1].proxy + 1, abs=1e-12)


def test_the_covariance_is_the_slope_of_the_truth_along_the_tilt() -> None:
    found = sit("showcase")
    for beta in (0.3, 1.0, 3.0, 10.0):
        tilt_at = [
            tilt.optimum(found.proxy, found.preset.truths, found.preset.reference, 1 / (1 / beta + d))
            for d in (1e-5, -1e-5)
        ]
        here = [math.exp(x) for x in tilt.tilted(found.proxy, found.preset.reference, beta)]
        measured = (tilt_at[0].true - tilt_at[1].true) / 2e-5
        assert tilt.covariance(here, found.preset.truths, found.proxy) == pytest.approx(measured, abs=1e-7)


def test_stopping_in_time_beats_every_beta_of_the_sweep() -> None:
    """What the fifth of the things to try claims."""
    found = sit("showcase", [(0.3, 78)])
    assert found.run.history[-1].true == pytest.approx(0.583, abs=6e-4)
    best = tilt.best(found.sweep())
    assert (best.beta, best.true) == (pytest.approx(1.274, abs=6e-4), pytest.approx(0.337, abs=6e-4))
    assert len(tilt.BETAS) == 20
    assert (tilt.BETAS[0], tilt.BETAS[-1]) == (pytest.approx(0.01), pytest.approx(100))
