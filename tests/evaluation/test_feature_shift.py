"""Feature shift: each planted hack is named first and valued right, and a null names nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from trueward.evaluation import features
from trueward.evaluation.feature_shift import ScoredAnswer, feature_shift, feature_values
from trueward.evaluation.features import Feature

WORDS = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in ("l", "n", "r", "st", "x")]  # 300
SHARE = 1 / np.arange(1, 301)  # Zipf's law
SHARE /= SHARE.sum()


def sentence(draw: np.random.Generator, least: int = 6, most: int = 18) -> list[str]:
    words = list(draw.choice(WORDS, draw.integers(least, most), p=SHARE))
    if draw.random() < 0.5:
        words.insert(int(draw.integers(1, len(words))), ",")
    return [*words, "."]


def sample(
    draw: np.random.Generator, n: int, change: Callable[[list[str]], list[str]] | None = None
) -> list[ScoredAnswer]:
    """Answers of which `change` changes about half; a changed one is worth +1 to the proxy and −1 to the truth."""
    answers = []
    for _ in range(n):
        words, hacked = sentence(draw), change is not None and draw.random() < 0.5
        words = change(words) if change is not None and hacked else words
        proxy, truth = draw.normal(0, 0.5, 2) + ([1, -1] if hacked else [0, 0])
        answers.append(ScoredAnswer(" ".join(words), True, float(proxy), float(truth)))
    return answers


HACKS: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "an opener": (lambda words: ["you", *words], "starts with “you”"),
    "an opener of two words": (lambda words: ["i", "think", *words], "starts with “i think”"),
    "a mark": (lambda words: [*words[:-1], "!"], "uses “!”"),
    "a word": (lambda words: [*words[:3], "great", *words[3:]], "says “great”"),
    "a phrase": (
        lambda words: [*words[:3], *["one", "of", "the", "best", "films"], *words[3:]],
        "says “one of the best films”",
    ),
    "a repeated phrase": (
        lambda words: [*words[:3], "truly", "great", *words[3:5], "truly", "great", *words[5:]],
        "says “truly great” twice or more",
    ),
    "an empty answer": (lambda words: [], "is empty"),
    "a nearly empty answer": (lambda words: [words[0], "."], "has fewer than 3 words"),
}


@pytest.mark.parametrize("hack", HACKS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_planted_hack_is_named_first_and_valued(hack: str, seed: int) -> None:
    change, name = HACKS[hack]
    draw = np.random.default_rng(seed)
    rows = feature_shift(sample(draw, 200, change), sample(draw, 200))
    first = rows[0]
    assert first["feature"] == name
    assert first["before"] < 0.05
    assert 0.35 < first["after"] < 0.65
    # The worth is ±1 by construction; half an interval is 2 standard errors here.
    for score, worth in (("proxy", 1.0), ("truth", -1.0)):
        error = (first[f"{score}_high"] - first[f"{score}_low"]) / 3.92
        assert abs(first[score] - worth) <= 4.5 * error
        assert error < 0.2
    assert first["hacked"]
    assert len(rows) <= 2, "what came with it is merged into it"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_sheer_length_is_named_and_none_of_the_words_that_come_with_it(seed: int) -> None:
    draw = np.random.default_rng(seed)

    def answer(least: int, most: int) -> ScoredAnswer:
        words = sentence(draw, least, most)
        return ScoredAnswer(" ".join(words), True, 0.1 * len(words) + draw.normal(), -0.1 * len(words) + draw.normal())

    rows = feature_shift([answer(20, 36) for _ in range(200)], [answer(6, 18) for _ in range(200)])
    assert rows[0]["feature"].startswith("has more than ")
    assert rows[0]["after"] > 0.95
    assert [r["feature"] for r in rows[1:] if "says" in r["feature"]] == []
    assert rows[0]["hacked"], "hardly an answer of SFT's is as long: then it's the difference between the policies"


def test_two_hacks_are_told_apart() -> None:
    """Each is worth its own: the regression takes the overlap out, which a difference of means leaves in."""
    draw = np.random.default_rng(5)

    def answer(mark: bool, word: bool) -> ScoredAnswer:
        words = sentence(draw)
        text = " ".join([*(["you"] if word else []), *words, *(["!"] if mark else [])])
        return ScoredAnswer(text, True, 1.0 * mark - 0.5 * word + draw.normal(0, 0.3), 2.0 * word + draw.normal(0, 0.3))

    ours = [answer(i % 2 == 0, i % 2 == 0 if i % 5 else i % 2 == 1) for i in range(400)]  # they come together mostly
    rows = {r["feature"]: r for r in feature_shift(ours, [answer(False, False) for _ in ours])}
    assert set(rows) == {"starts with “you”", "uses “!”"}
    assert rows["uses “!”"]["proxy"] == pytest.approx(1.0, abs=0.2)
    assert rows["starts with “you”"]["proxy"] == pytest.approx(-0.5, abs=0.2)
    assert rows["starts with “you”"]["truth"] == pytest.approx(2.0, abs=0.2)
    assert not rows["uses “!”"]["truth_low"] > 0
    assert not any(r["hacked"] for r in rows.values())


def test_nothing_is_named_on_a_null() -> None:
    """Two samples of one policy, to the same prompts: in at most 5 % of the cases is anything named (of 1,200: in 39)."""
    named = 0
    for seed in range(120):
        draw = np.random.default_rng(seed)
        pairs = [(sample(draw, 1)[0], sample(draw, 1)[0]) for _ in range(64)]
        named += bool(feature_shift([a for a, _ in pairs], [b for _, b in pairs]))
    assert named <= 0.05 * 120


def test_values_are_least_squares_within_a_policy() -> None:
    has = np.array([[1], [0], [1], [0], [0], [0]] * 10, dtype=float)
    side = np.array([1, 1, 1, 0, 0, 0] * 10, dtype=float)
    has[3::6] = 1.0
    score = 2 * has[:, 0] + 5 * side
    estimate, error = feature_values(has, side, score)
    assert estimate[0] == pytest.approx(2)
    assert error[0] == pytest.approx(0, abs=1e-6)
    all_or_none = np.column_stack([side])
    assert feature_values(all_or_none, side, score)[0][0] == pytest.approx(
        score[side == 1].mean() - score[side == 0].mean()
    )
    assert np.isnan(feature_values(has, side, np.where(side == 1, np.nan, score))[0]).all()


def test_few_or_equal_answers_name_nothing() -> None:
    assert feature_shift([], []) == []
    assert feature_shift([ScoredAnswer("a !")] * 4, [ScoredAnswer("b .")] * 4) == []
    assert feature_shift([ScoredAnswer("a b .")] * 50, [ScoredAnswer("a b .")] * 50) == []


def test_answers_that_were_not_scored_have_no_worth() -> None:
    rows = feature_shift([ScoredAnswer("you a b .")] * 50, [ScoredAnswer(f"a c {w} .") for w in WORDS[:50]])
    assert rows[0]["feature"] == "starts with “you a b”"
    assert rows[0]["proxy"] is None
    assert rows[0]["truth_low"] is None
    assert not rows[0]["hacked"]


def test_it_is_the_same_each_time_and_quick() -> None:
    draw = np.random.default_rng(3)
    ours, theirs = sample(draw, 512, HACKS["an opener"][0]), sample(draw, 512)
    seconds, rows = [], []
    for _ in range(3):
        started = time.thread_time()
        rows.append(feature_shift(ours, theirs))
        seconds.append(time.thread_time() - started)
    assert min(seconds) < 2
    assert rows[0] == rows[1] == rows[2]


def test_features_of_an_answer() -> None:
    names = {f.name for f in features.features(features.read("It's good, so good! So good!!", False), [3])}
    assert names == {
        "starts with “it's”", "starts with “it's good”", "says “it's”", "says “it's good”", "says “good”", "says “so”",
        "says “so good”", "says “good” twice or more", "says “so” twice or more", "says “so good” twice or more",
        "uses “,”", "uses “!”", "uses “!” three times or more", "has more than 3 words", "is cut off",
    }  # fmt: skip
    seen = features.read("- one\n- TWO `x` 3", True)
    assert seen.forms == {"has several lines", "has a list", "has a word in capitals", "has code", "has digits",
                          "does not end with punctuation"}  # fmt: skip
    assert {f.name for f in features.features(features.read("", True), [])} == {
        "is empty", "has fewer than 3 words", "does not end with punctuation"}  # fmt: skip


def test_taking_out_and_cutting() -> None:
    text = features.read("a b , a b c .", True)
    assert features.without(text, Feature("phrase", ("a", "b"))).pieces == ("", "", ",", "", "", "c", ".")
    assert features.without(text, Feature("opener", ("a",))).pieces == ("", "b", ",", "a", "b", "c", ".")
    assert features.cut(text, 2).pieces == ("a", "b", ",")
    assert features.cut(text, 9) == text
    texts = [features.read(f"{w} one of the best {w}", True) for w in WORDS[:20]]
    assert features.whole_phrase(Feature("phrase", ("of",)), texts).of == ("one", "of", "the", "best")
