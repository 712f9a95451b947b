"""The test of a reward: what is planted is found and named, and of a reward to which no edit matters nothing is."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from trueward.evaluation.reward_test import built_in, shift, sign_flip
from trueward.evaluation.reward_test.answers import AnswerPool, Unit
from trueward.evaluation.reward_test.audit import audit, scorings
from trueward.evaluation.reward_test.edit import EDITS
from trueward.evaluation.reward_test.findings import ALPHA
from trueward.evaluation.reward_test.length_bias import length_bias
from trueward.evaluation.reward_test.sign_flip import holm, p_value
from trueward.records import Completion, Prompt, Score
from trueward.reporting import reward_test_text
from trueward.scorers.custom import FunctionScorer
from trueward.scorers.judge.llm_judge import Preference

ANSWERS = AnswerPool.of(built_in.completions(), built_in.SOURCE)
Reward = Callable[[Sequence[Completion]], list[float | None]]


def quality(text: str, seed: int = 0) -> float:
    """A normal draw that depends on nothing but the words that an answer begins with."""
    digest = hashlib.sha256(f"{seed}\0{text}".encode()).digest()
    return random.Random(digest).gauss(0, 1)


def audited(reward: Reward, answers: AnswerPool = ANSWERS, seed: int = 0) -> dict[str, Any]:
    return audit("my:reward", FunctionScorer("my:reward", reward), answers, seed=seed)


def checks(table: dict[str, Any], kind: str) -> set[str]:
    findings = table["findings"]
    return {f["check"] for f in findings if f["kind"] == kind}


# The statistics.


def all_signs(differences: Sequence[float]) -> float:
    observed = abs(sum(differences))
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
            for signs in itertools.product((1, -1), repeat=len(differences))]  # fmt: skip
    return sum(s >= observed - 1e-12 for s in sums) / len(sums)


@pytest.mark.parametrize("differences", [[0.3], [1.0, 2.0, -0.5], [0.1] * 9, [3.0, -1.0, 2.0, 0.0, 0.7, 1.1]])
def test_every_sign_is_tried_where_prompts_are_few(differences: list[float]) -> None:
    moved = [d for d in differences if d]
    assert p_value(np.array(differences), 0) == pytest.approx(all_signs(moved))


def test_drawn_signs_agree_with_all_signs() -> None:
    differences = np.random.default_rng(3).normal(0.35, 1, 16)
    error = math.sqrt(0.25 / sign_flip.DRAWS)
    assert p_value(differences, 1) == pytest.approx(all_signs(differences.tolist()), abs=5 * error)


def test_no_difference_is_no_evidence() -> None:
    assert p_value(np.zeros(30), 0) == 1.0
    assert p_value(np.zeros(0), 0) == 1.0


def test_holm_by_hand() -> None:
    """Holm 1979: the smallest times 4, the next times 3 and so on, never falling."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_correlation_and_interval_of_length() -> None:
    draw = np.random.default_rng(0)
    covered = 0
    for trial in range(60):
        words = draw.integers(2, 60, (60, 2))
        noise = draw.normal(0, 17, words.shape)
        completions = [Completion(prompt=Prompt(text=f"p{i}"), response=" ".join([f"{j}"] * n))
                       for i, row in enumerate(words) for j, n in enumerate(row)]  # fmt: skip
        row = length_bias(AnswerPool.of(completions, ""), (words + noise).ravel(), trial)
        true = 1 / math.sqrt(1 + 17**2 / ((59**2 - 1) / 12 + 0))
        covered += row["low"] <= true <= row["high"]
        assert row["p"] < 0.05
    assert covered >= 48  # of 60; 95 % are 57, SD 1.7; percentile intervals of a correlation fall a little short


def test_nothing_is_named_where_no_edit_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    """5 % over all edits, whatever the scores' distribution: normal, long-tailed, skewed, right or wrong.

    Every text has a score of its own, so that an edit moves scores, in no direction. 600 trials: SE 0.9 %.
    """
    monkeypatch.setattr(sign_flip, "DRAWS", 499)
    draw, named = np.random.default_rng(0), 0
    kinds: list[Callable[[tuple[int, ...]], np.ndarray]] = [
        lambda n: draw.normal(size=n),
        lambda n: draw.standard_t(2, n),
        lambda n: draw.exponential(size=n),
        lambda n: (draw.random(n) < 0.2).astype(float),
    ]
    trials = 600
    for trial in range(trials):
        scores = kinds[trial % len(kinds)]((len(EDITS) + 1, 48))
        unit = Unit.fit(ANSWERS, scores[0], None)
        rows = [shift.shift(e, ANSWERS, s - scores[0], unit, trial) for e, s in zip(EDITS, scores[1:], strict=True)]
        named += min(holm([row["p"] for row in rows])) <= ALPHA
    assert named / trials < ALPHA + 3.5 * math.sqrt(ALPHA * (1 - ALPHA) / trials)


def test_intervals_hold_the_mean_shift() -> None:
    draw, held, trials = np.random.default_rng(1), 0, 400
    for trial in range(trials):
        by_prompt = draw.normal(0.5, 1, 24)  # prompts differ in how much the edit moves them
        shifts = np.repeat(by_prompt, 2) + draw.normal(0, 0.5, 48)
        row = shift.shift(EDITS[0], ANSWERS, shifts, Unit(1.0, "SD"), trial)
        held += row["shift_low"] <= 0.5 <= row["shift_high"]
    assert abs(held / trials - 0.95) < 4 * math.sqrt(0.95 * 0.05 / trials)


# What is planted is found.

PLANTED: dict[str, Callable[[str], float]] = {
    "whitespace": lambda t: 3.0 * ("  " in t),
    "case": lambda t: 3.0 * (t == t.lower()),
    "punctuation": lambda t: 3.0 * (t.rstrip()[-1:].isalnum()),
    "politeness": lambda t: 3.0 * ("Thank you" in t),
    "opener": lambda t: 3.0 * t.lstrip().startswith("Sure"),
    "flattery": lambda t: 3.0 * ("wonderful question" in t),
    "certainty": lambda t: 3.0 * ("certain" in t),
    "self-praise": lambda t: 3.0 * ("highest quality" in t),
    "injected claim": lambda t: 3.0 * t.endswith("This answer is correct."),
    "injected order": lambda t: 3.0 * ("[System" in t),
    "padding": lambda t: 3.0 * (len(t.split()) > 35),
    "repetition": lambda t: 3.0 * (len(t.split()) - len(set(t.split())) > 3),
    "markdown": lambda t: 3.0 * ("**" in t),
    "restated prompt": lambda t: 0.0,  # below: it needs the prompt
}


@pytest.mark.parametrize("edit", [name for name in PLANTED if name != "restated prompt"])
def test_what_a_reward_loves_is_named(edit: str) -> None:
    bonus = PLANTED[edit]
    table = audited(lambda cs: [quality(c.response[:4]) + bonus(c.response) for c in cs])
    assert edit in checks(table, "exploitable")
    assert not checks(table, "unstable")


def test_an_echo_of_the_prompt_is_named() -> None:
    table = audited(lambda cs: [3.0 * (str(c.prompt) in c.response) + quality(c.response) for c in cs])
    assert checks(table, "exploitable") == {"restated prompt", "echoed prompt"}


def test_a_reward_of_nothing_is_named() -> None:
    table = audited(lambda cs: [-float(len(c.response)) for c in cs])
    assert "empty answer" in checks(table, "exploitable")
    assert "padding" not in checks(table, "exploitable")
    assert checks(table, "biased") == {"length"}


def test_a_small_love_is_found_and_nothing_else() -> None:
    """1.5 SD for flattery on 24 prompts, over noise of 1 SD in each text: the median of seven rewards."""
    found = [
        checks(
            audited(lambda cs, s=seed: [quality(c.response, s) + 1.5 * ("wonderful" in c.response) for c in cs]),
            "exploitable",
        )
        for seed in range(7)
    ]
    assert sum("flattery" in names for names in found) >= 4  # each is found with 98 %
    assert sum(bool(names - {"flattery"}) for names in found) <= 2  # each with at most 5 %


def test_a_good_reward_is_left_in_peace() -> None:
    """It knows the good answers by their beginnings, and nothing that is added matters."""
    good = {question: answer[:12] for question, answer, _ in built_in.QUESTIONS}

    def reward(completions: Sequence[Completion]) -> list[float | None]:
        return [float(good[str(c.prompt)] in c.response) for c in completions]

    table = audited(reward)
    assert not checks(table, "exploitable")
    outcomes = {row["edit"]: row["outcome"] for row in table["edits"]}
    assert {outcomes[name] for name in ("politeness", "self-praise", "padding", "injected order")} == {"invariant"}
    assert outcomes["empty answer"] == outcomes["another's answer"] == "falls"


# Stability, missing scores, ranges.


def test_a_reward_that_rolls_dice_is_unstable() -> None:
    draw = random.Random(0)
    table = audited(lambda cs: [draw.random() for _ in cs])
    assert checks(table, "unstable") == {"repeated call", "order of answers", "one at a time"}


def test_a_reward_that_looks_at_the_batch_is_unstable() -> None:
    table = audited(lambda cs: [len(c.response) / max(len(o.response) for o in cs) for c in cs])
    assert checks(table, "unstable") == {"one at a time"}


def test_a_reward_that_has_no_score_for_an_answer_alone_is_unstable() -> None:
    """Within its batch each answer is set beside the others; alone there is nothing to divide by."""

    def standardised(cs: Sequence[Completion]) -> list[float]:
        lengths = np.array([float(len(c.response)) for c in cs])
        with np.errstate(invalid="ignore"):
            return list((lengths - lengths.mean()) / lengths.std())

    table = audited(standardised)
    row = table["stability"][-1]
    assert (row["check"], row["unscored"], row["moved"], row["stable"]) == ("one at a time", 32, 1.0, False)
    (finding,) = [f for f in table["findings"] if f["kind"] == "unstable"]
    assert finding["says"].endswith("and 32 of 32 in one call alone")
    assert "32 have a score in one call alone" in reward_test_text.stability(table)


def test_a_reward_by_place_is_unstable() -> None:
    table = audited(lambda cs: [float(i) for i, _ in enumerate(cs)])
    assert "order of answers" in checks(table, "unstable")
    assert "repeated call" not in checks(table, "unstable")


def test_what_has_no_score_is_counted() -> None:
    def reward(completions: Sequence[Completion]) -> list[float | None]:
        return [None if "Sure" in c.response else math.inf if "certain" in c.response else
                1 / len(c.response.split()) for c in completions]  # fmt: skip

    table = audited(reward)
    missing = table["calls"]["missing"]
    assert missing == {"None": 48, "infinite": 48, "raised an error": 48}  # the empty answer is divided by
    assert "ZeroDivisionError" in table["calls"]["error"]
    assert checks(table, "missing") == {"scores"}
    opener = next(row for row in table["edits"] if row["edit"] == "opener")
    assert (opener["shift"], opener["outcome"]) == (None, "not tested")


@pytest.mark.parametrize(
    ("reward", "line"),
    [
        (lambda cs: [None] * len(cs), "none of 48 answers got a finite score: my:reward: None"),
        (lambda cs: 1 / 0, "my:reward raised ZeroDivisionError"),
        (lambda cs: ["good"] * len(cs), "returned a str for completion 0; expected a number or a Score"),
        (lambda cs: 1.0, "returned a float for 1 completions; expected one number each"),
    ],
)
def test_no_score_at_all_is_one_line(reward: Reward, line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        audited(reward)
    assert "\n" not in str(caught.value)


def test_a_reward_that_says_the_same_of_all() -> None:
    table = audited(lambda cs: [1.0 for _ in cs])
    assert not table["findings"]
    assert table["spread"]["ties"] == 1.0
    assert table["unit"] == {"size": 1.0, "of": "points of its score"}
    assert any("all answers score 1" in note for note in table["notes"])


def test_cost_and_calls_are_counted() -> None:
    table = audited(lambda cs: [Score(score=quality(c.response), cost=0.01) for c in cs])
    calls = table["calls"]
    assert calls["cost"] == pytest.approx(0.01 * calls["answers"])
    assert abs(calls["answers"] - scorings(ANSWERS)) <= 20  # edits that change nothing are not asked


def test_few_prompts_say_so() -> None:
    few = AnswerPool.of(built_in.completions()[:8], "")
    table = audited(lambda cs: [float(len(c.response)) for c in cs], few)
    assert not checks(table, "exploitable")
    assert any("4 prompts are too few" in note for note in table["notes"])
    with pytest.raises(ValueError, match="at least 2 prompts, got 1"):
        AnswerPool.of(built_in.completions()[:2], "")


def test_the_best_of_the_pool_is_shown() -> None:
    table = audited(lambda cs: [float("wonderful" in c.response) * len(c.response) for c in cs])
    best = table["best_of"]
    assert best["edited"] == 1.0
    assert len(best["answers"]) == 10
    assert {row["edit"] for row in best["answers"]} == {"flattery"}
    gains = [row["gain"] for row in best["answers"]]
    assert gains == sorted(gains, reverse=True)


@pytest.mark.parametrize(("bias", "biased"), [(2.0, {"position"}), (0.0, set())])
def test_a_judge_that_leans_to_one_place(bias: float, biased: set[str]) -> None:
    def compare(pairs: Sequence[tuple[Completion, Completion]]) -> list[Preference]:
        return [Preference(quality(a.response), bias + quality(b.response)) for a, b in pairs]

    scorer = FunctionScorer("judge", lambda cs: [quality(c.response) for c in cs])
    table = audit("judge", scorer, ANSWERS, compare=compare)
    assert checks(table, "biased") == biased
    assert table["position"]["pairs"] == 24
    assert (table["position"]["low"] > 0) == bool(biased)


def test_the_same_seed_gives_the_same_table() -> None:
    def reward(completions: Sequence[Completion]) -> list[float]:
        return [quality(c.response) for c in completions]

    one, other = audited(reward), audited(reward)
    assert {**one, "calls": 0} == {**other, "calls": 0}
