"""Answers that are already there: figures against closed forms, planted hacks and falls found, healthy runs left in peace."""

from __future__ import annotations

import numpy as np
import pytest

from trueward.evaluation import verdict
from trueward.evaluation.answer_set import AnswerSet
from trueward.evaluation.paired import FEWEST, paired
from trueward.evaluation.text_evaluator import PROXY, TextEvaluator, unpaired
from trueward.evaluation.text_monitor import TextMonitor
from trueward.records import Completion, Prompt

TRUTH = "truth"


@pytest.fixture(autouse=True)
def no_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """What moved has tests of its own, and takes most of the time."""
    monkeypatch.setattr("trueward.evaluation.text_monitor.feature_shifts", lambda samples: [])


def answers(
    rng: np.random.Generator, prompts: range, truth: float, proxy: float, each: int = 1, spread: float = 0.5
) -> AnswerSet:
    """Answers whose truth is the prompt's own level (the same at every step), plus a gain, plus noise of SD 1."""
    level = {i: np.random.default_rng(i).normal(0, spread) for i in prompts}
    rows = [i for i in prompts for _ in range(each)]
    completions = [
        Completion(prompt=Prompt(text=f"prompt {i}"), response=" ".join(rng.choice(list("abcdefghijkl"), 6)))
        for i in rows
    ]
    base = np.array([level[i] for i in rows])
    scores = {TRUTH: base + truth + rng.normal(0, 1, len(rows)), PROXY: base + proxy + rng.normal(0, 1, len(rows))}
    return AnswerSet(completions, scores)


def monitored(
    rng: np.random.Generator, truths: list[float], proxies: list[float], count: int, each: int = 1, moving: bool = False
) -> TextMonitor:
    """moving: every look has prompts of its own."""
    monitor = TextMonitor(TextEvaluator(answers(rng, range(count), 0, 0, 2), [TRUTH]))
    for k, (truth, proxy) in enumerate(zip(truths, proxies, strict=True), 1):
        prompts = range(k * count, (k + 1) * count) if moving else range(count)
        assert monitor.look(10 * k, answers(rng, prompts, truth, proxy, each))
    return monitor


def test_the_gain_is_the_paired_difference_of_prompts() -> None:
    rng = np.random.default_rng(0)
    home, ours = answers(rng, range(30), 0, 0, 2), answers(rng, range(40), 1.0, 2.0, 3)
    row = TextEvaluator(home, [TRUTH]).measure(ours).row
    mine = ours.scores[TRUTH].reshape(40, 3)[:30].mean(axis=1)
    test = paired(mine, home.scores[TRUTH].reshape(30, 2).mean(axis=1))
    assert row["truth_gain"] == pytest.approx(test.mean, abs=1e-5)
    assert row["truth_gain_z"] == pytest.approx(test.z, abs=1e-5)
    assert (row["prompts"], row["prompts_not_shared"], row["answers"], row["is_paired"]) == (30, 10, 90, True)


def test_answers_that_were_not_scored_are_left_out() -> None:
    rng = np.random.default_rng(1)
    home, ours = answers(rng, range(40), 0, 0), answers(rng, range(40), 1.0, 0)
    ours.scores[TRUTH][:10] = np.nan
    row = TextEvaluator(home, [TRUTH]).measure(ours).row
    assert row["truth_prompts"] == 30
    assert row["truth_gain"] == pytest.approx((ours.scores[TRUTH] - home.scores[TRUTH])[10:].mean(), abs=1e-5)


def test_without_a_truth_the_verdict_says_so() -> None:
    rng = np.random.default_rng(2)
    home, ours = answers(rng, range(60), 0, 0), answers(rng, range(60), 0, 3)
    for side in (home, ours):
        side.scores[TRUTH][:] = np.nan
    monitor = TextMonitor(TextEvaluator(home, [TRUTH]))
    monitor.look(1, ours)
    assert monitor.verdict is not None
    assert monitor.verdict.word == "inconclusive"
    assert "nothing measures the truth" in monitor.verdict.rule


def test_the_unpaired_test_is_valid_and_finds_a_difference() -> None:
    """Of 4,000 null pairs of samples of 40 and 60 the share beyond ±1.96 is 5 % (SE .0034); a difference of 1 SD is found."""
    rng = np.random.default_rng(3)
    z = np.array([unpaired(rng.normal(size=40), rng.normal(size=60)).z for _ in range(4000)])
    assert 0.025 < (np.abs(z) > 1.96).mean() < 0.065
    assert unpaired(rng.normal(1, 1, 60), rng.normal(0, 1, 60)).z > 3


def test_hacking_is_found_and_learning_called_by_name() -> None:
    words = {"hacking": 0, "learning": 0}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        for word, truth in (("hacking", -0.4), ("learning", 0.4)):
            monitor = monitored(rng, [truth * k for k in range(1, 5)], [1.0, 2.0, 3.0, 4.0], 120)
            assert monitor.verdict is not None
            words[word] += monitor.verdict.word == word
    assert min(words.values()) >= 2


def test_a_fall_is_measured_again_on_prompts_that_did_not_pick_the_peak() -> None:
    words = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        monitor = monitored(rng, [0.8, 1.8, 1.2, 0.7], [1, 2, 3, 4], 200)
        assert monitor.verdict is not None
        words.append(monitor.verdict.word)
        falls = [row["fall"] for row in monitor.rows if row.get("fall")]
        assert falls
        curve = set(monitor.kept(monitor.evaluator.baseline, reserved=False))
        assert not curve & monitor._used
        assert sum(fall["prompts"] for fall in falls) == len(monitor._used)  # none is used twice
    assert words.count("over-optimised") >= 2


def test_prompts_that_differ_by_step_are_two_draws() -> None:
    rng = np.random.default_rng(5)
    monitor = monitored(rng, [-0.8, -1.2, -1.5], [1, 2, 3], 100, each=2, moving=True)
    assert not any(row["is_paired"] for row in monitor.rows[1:])
    assert monitor.verdict is not None
    assert monitor.verdict.word == "hacking"


def test_too_few_prompts_give_no_alarm_of_a_fall() -> None:
    rng = np.random.default_rng(6)
    monitor = monitored(rng, [3.0, 3.0, 1.0], [1, 2, 3], 2 * FEWEST - 5)
    assert monitor.missing == 5
    assert monitor.verdict is not None
    assert "no alarm can be given: 5 more held-out prompts" in monitor.verdict.rule
    assert not any(row.get("fall") for row in monitor.rows)


@pytest.mark.parametrize("moving", [False, True])
def test_healthy_and_flat_runs_raise_no_alarm(moving: bool) -> None:
    """Alarms of 25 flat runs of 8 looks each: at most 5 % (1.3) are expected; 5 or more have a chance below 1 % then."""
    alarms = 0
    for seed in range(25):
        rng = np.random.default_rng(seed)
        monitor = monitored(rng, [0.0] * 8, [0.5] * 8, 80, moving=moving)
        alarms += any(row.get("verdict") in verdict.ALARMS for row in monitor.rows)
    assert alarms < 5
