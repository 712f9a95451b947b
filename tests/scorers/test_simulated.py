"""Simulated annotators: their utility by hand, and how often two of them agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trueward.data import toy
from trueward.records import Completion, Prompt
from trueward.scorers import simulated
from trueward.scorers.sentiment import Classifier, Lexicon, from_table

NEUTRAL = Lexicon({})
PROMPT = Prompt(text="the film")


def answer(text: str, finished: bool = True) -> Completion:
    return Completion(prompt=PROMPT, response=text, finished=finished)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("one fine day", 0),
        ("great great", 1 / 2),  # a long word that came before
        ("so so so", 1 / 3),  # short words count only as a repeated pair
        ("a b a b", 1 / 4),
        ("is it is it is it", 3 / 6),
        ("Great, great!", 1 / 2),
        ("it was great and it was dull", 1 / 7),
        ("great film great film", 2 / 4),
        ("a b a c a", 0),
    ],
)
def test_repetition_by_hand(text: str, share: float) -> None:
    assert simulated.repetition(text) == pytest.approx(share, abs=1e-12)


@pytest.mark.parametrize(
    ("text", "finished", "parts"),
    [
        (" one two three four five", True, (0, 0, 0, 0)),
        (" one two three four five", False, (0, 0, -1, 0)),
        (" one two", True, (0, 0, 0, -0.6)),
        ("", False, (0, 0, -1, -1)),
        (" ... !", True, (0, 0, 0, -1)),
        (" great great great great great", True, (0, -1.6, 0, 0)),
    ],
)
def test_penalties_by_hand(text: str, finished: bool, parts: tuple[float, ...]) -> None:
    (verdict,) = simulated.Utility(NEUTRAL)([answer(text, finished)])
    assert list(verdict.parts.values()) == pytest.approx(list(parts), abs=1e-12)
    assert list(verdict.parts) == ["sentiment", "repetition", "unfinished", "short"]
    assert verdict.score == pytest.approx(sum(parts), abs=1e-12)


def test_sentiment_is_saturated_and_reads_prompt_and_answer() -> None:
    utility = simulated.Utility(Lexicon({"great": 2.0, "film": 1.0}))
    verdicts = utility([answer(" is great and very warm"), answer(" is good and very warm")])
    assert verdicts[0].parts["sentiment"] == pytest.approx(np.tanh(1.5), abs=1e-12)
    assert verdicts[1].parts["sentiment"] == pytest.approx(np.tanh(0.5), abs=1e-12)
    assert utility([]) == []


@pytest.mark.parametrize("half", ["a", "b"])
def test_a_better_text_has_the_higher_utility(half: str) -> None:
    utility = simulated.Utility(Lexicon(toy.lexicon(half)))
    ordered = [
        answer(" is great and the plot is funny."),
        answer(" is great and the plot is dull."),
        answer(" is grim and the plot is dull."),
        answer(" is grim and the plot is dull.", finished=False),
    ]
    scores = [v.score for v in utility(ordered)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[2] > 1


def test_a_lexicon_adds_up_its_words() -> None:
    lexicon = Lexicon({"good": 1.5, "bad": -2.0})
    assert lexicon(["Good, good film", "bad", "goodness", ""]).tolist() == [3.0, -2.0, 0.0, 0.0]
    again = from_table(lexicon.table())
    assert again(["good bad"]).tolist() == [-0.5]


def test_the_least_useful_answers_are_the_empty_and_the_unfinished_one() -> None:
    utility = simulated.Utility(Lexicon(toy.lexicon("a")))
    plain = utility([answer(" is rather long and the plot feels slow.")])[0].score
    for bad in (answer("", finished=False), answer(" is great" * 10, finished=False)):
        assert utility([bad])[0].score < plain


def test_a_classifier_round_trips_through_its_table_and_prefers_better_texts(tmp_path: Path) -> None:
    rows = toy.reviews(600, seed=1)
    texts = [prompt + response for prompt, response in rows]
    truth = Lexicon(toy.lexicon("a"))(texts)
    labels = [bool(t > 0) for t in truth]
    classifier = Classifier.fit(texts[:400], labels[:400], texts[400:], labels[400:])
    simulated.Utility(classifier).save(tmp_path / "a.json")
    again = simulated.load(tmp_path, "a")
    assert isinstance(again.sentiment, Classifier)
    held_out = [p + r for p, r in toy.reviews(100, seed=2)]
    np.testing.assert_allclose(again.sentiment(held_out), classifier(held_out), rtol=0, atol=1e-12)
    good, bad = classifier(["the film is great and funny .", "the film is dull and silly ."])
    assert good > 1
    assert bad < -1
    right = (classifier(held_out) > 0) == (Lexicon(toy.lexicon("a"))(held_out) > 0)
    assert right.mean() > 0.85


def test_an_unknown_utility_is_said_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="known: none, for these data"):
        simulated.load(tmp_path, "a")
    simulated.Utility(NEUTRAL).save(tmp_path / "b.json")
    with pytest.raises(ValueError, match="no simulated utility 'a'; known: b"):
        simulated.load(tmp_path, "a")


@pytest.mark.parametrize("agreement", [0.55, 0.73, 0.9])
def test_two_annotators_agree_as_often_as_asked(agreement: float) -> None:
    draw = np.random.default_rng(5)
    count = 20_000
    utilities = draw.normal(size=(count, 2))
    temperature = simulated.temperature_for(agreement, utilities[:, 0] - utilities[:, 1])
    pairs = [(answer(f" first {i}"), answer(f" second {i}")) for i in range(count)]
    comparisons, agreed = simulated.compare(pairs, utilities, temperature, 0.0, draw)
    assert len(comparisons) == count
    assert abs(agreed - agreement) <= 4.5 * np.sqrt(agreement * (1 - agreement) / count)
    # and the first one's votes follow Bradley–Terry
    chance = 1 / (1 + np.exp((utilities[:, 1] - utilities[:, 0]) / temperature))
    excess = np.array([c.probability for c in comparisons]) - chance
    assert abs(excess.mean()) <= 4.5 * excess.std() / np.sqrt(count)
    likely = chance > np.median(chance)
    assert abs(excess[likely].mean()) <= 4.5 * excess[likely].std() / np.sqrt(likely.sum())


def test_an_agreement_out_of_reach_is_refused() -> None:
    gaps = np.array([0.0] * 50 + [1.0] * 50)  # half are coin tosses: at most .75
    assert simulated.temperature_for(0.74, gaps) > 0
    with pytest.raises(ValueError, match=r"at most 0\.75"):
        simulated.temperature_for(0.76, gaps)


def test_ties_and_equal_answers() -> None:
    draw = np.random.default_rng(0)
    pairs = [(answer(" a"), answer(" b")), (answer(" a"), answer(" a")), (answer(" a"), answer(" a", finished=False))]
    comparisons, _ = simulated.compare(pairs, np.array([[1.0, 1.05], [1, 1], [9.0, -9.0]]), 0.5, 0.2, draw)
    assert [c.probability for c in comparisons] == [0.5, 1.0]
    assert comparisons[1].first.id != comparisons[1].second.id
    assert not comparisons[1].second.finished
    assert np.isnan(simulated.compare(pairs[1:2], np.ones((1, 2)), 1.0, 0.0, draw)[1])
