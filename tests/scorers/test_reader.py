"""The reader, a simulated utility that shares no term with the annotators': its parts, by hand and by laws."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from trueward.data import toy
from trueward.records import Completion, Prompt
from trueward.scorers import bigrams, simulated
from trueward.scorers.bigrams import EDGE, UNKNOWN, Bigrams
from trueward.scorers.letters import LetterBayes
from trueward.scorers.reader import LEAST, MOST, NEW_WORD, Reader

TEXTS = ("a b a", "a b c", "c a b")
GOOD = set(toy.GOOD)


def completion(response: str, prompt: str = "the film", finished: bool = True) -> Completion:
    return Completion(prompt=Prompt(text=prompt), response=response, finished=finished)


def made(seed: int = 0, count: int = 400) -> Reader:
    halves = toy.reviews(count, seed)
    sentences = [p + r for p, r in halves]
    labels = [sum(w in GOOD for w in s.split()) > sum(w in toy.BAD for w in s.split()) for s in sentences]
    return Reader.fit(sentences, labels, halves[: count // 2], sentences[count // 2 :])


def test_kneser_ney_by_hand() -> None:
    """a is followed by b three times, by the end once; b by a, c and the end. b comes after one kind of word, of nine pairs."""
    pairs = Bigrams.fit(TEXTS)
    kinds = {"a": 3, "b": 1, "c": 2, EDGE: 3}  # a: after the edge, b, c; the end: after a, c, b
    assert (pairs.kinds, pairs.all_kinds) == (kinds, 9)
    assert pairs.probability("a", "b") == pytest.approx((3 - 0.75) / 4 + 0.75 * 2 / 4 * 1 / 9)
    assert pairs.probability("a", "c") == pytest.approx(0.75 * 2 / 4 * 2 / 9)
    assert pairs.log_likelihood("", "a b", True) == pytest.approx(
        np.mean([math.log(pairs.probability(*p)) for p in ((EDGE, "a"), ("a", "b"), ("b", EDGE))])
    )
    assert pairs.log_likelihood("x A", "B", False) == pytest.approx(math.log(pairs.probability("a", "b")))


def test_probabilities_sum_to_one_with_the_unknown_words() -> None:
    pairs = Bigrams.fit([p + r for p, r in toy.reviews(60, 1)] + ["one two three", "four the film"])
    assert pairs.rare == 4
    known = [w for w in pairs.kinds if w != UNKNOWN]
    for first in ("the", "film", EDGE, "never seen"):
        unknown = pairs.rare * pairs.probability(first, "never seen")
        assert sum(pairs.probability(first, w) for w in known) + unknown == pytest.approx(1.0)


def test_rare_words_are_none() -> None:
    assert Bigrams.fit(["a a", "b"]).rare == 1
    assert bigrams.RARE == 2


def test_an_answer_without_a_word_has_the_least_fluency() -> None:
    reader = made()
    assert reader.fluency(completion("", finished=False)) == LEAST
    assert math.isnan(reader.bigrams.log_likelihood("x", "", False))


def test_parts_by_hand() -> None:
    reader = made()
    (score,) = reader([completion(" is is great")])
    assert score.parts["variety"] == pytest.approx(1 - NEW_WORD**2)
    assert score.parts["sentiment by letters"] == pytest.approx(
        math.tanh(float(reader.letters(["the film is is great"])[0]) / 2)
    )
    assert LEAST <= score.parts["fluency"] <= MOST
    assert score.score == pytest.approx(sum(score.parts.values()))
    assert reader([]) == []


@pytest.mark.parametrize("seed", range(3))
def test_the_letters_tell_good_from_bad_on_other_sentences(seed: int) -> None:
    letters = made(seed).letters
    good = letters([f"this long film is very {w} ." for w in toy.GOOD])
    bad = letters([f"this long film is very {w} ." for w in toy.BAD])
    assert np.mean(good[:, None] > bad[None, :]) > 0.9


def test_shuffled_words_are_less_fluent() -> None:
    reader, draw = made(), np.random.default_rng(0)
    ours, shuffled = [], []
    for prompt, response in toy.reviews(60, 9):
        words = response.split()
        ours.append(reader.fluency(completion(response, prompt)))
        shuffled.append(reader.fluency(completion(" " + " ".join(draw.permutation(words)), prompt)))
    assert np.mean(ours) > np.mean(shuffled) + 0.5


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    reader = made()
    reader.save(tmp_path / "c.json")
    again = simulated.load(tmp_path, "c")
    answers = [completion(r, p) for p, r in toy.reviews(40, 5)]
    assert isinstance(again, Reader)
    assert [s.score for s in again(answers)] == pytest.approx([s.score for s in reader(answers)])


def test_naive_bayes_weights_are_log_ratios() -> None:
    """All-equal texts on either side: a sequence of good texts alone has the log of its smoothed share over the other's."""
    texts = ["aa", "bb"] * 25
    letters = LetterBayes.fit(texts, [True, False] * 25)
    weight = dict(zip(letters.sequences, letters.weights, strict=True))
    counted = [t for i, t in enumerate(texts) if i % 5]
    n = counted.count("aa")
    total = sum(1 for _ in letters.sequences)
    both = n * total / 2  # of either side's sequences each comes n times
    expected = math.log((n + 2) / (both + 2 * total)) - math.log(2 / (counted.count("bb") * total / 2 + 2 * total))
    assert weight["aa"] == pytest.approx(expected, abs=1e-4)
