"""A simulated reader who shares no term with the annotators: another kind of model on other features.

Its utility of an answer is

    saturated sentiment by letters    tanh(log-odds / 2), between −1 and 1: scorers/letters.py, naive Bayes
    + fluency                         mean log-probability of a word, nats above that of people's sentences, from −2 to ½:
                                      scorers/bigrams.py, word pairs; the end of an answer is one of the words
    + variety                         1 − 0.85^d, d: how many different words the answer has

The annotators `a` and `b` (scorers/simulated.py) are two fits of one program: where that program is blind, both are. A truth of
another make is what shows a hack of the terms that they share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trueward.artifacts import write_json
from trueward.records import Completion, Score
from trueward.scorers.bigrams import Bigrams
from trueward.scorers.letters import LetterBayes

LEAST, MOST = -2.0, 0.5  # of fluency, nats
NEW_WORD = 0.85  # each different word is worth so much of the one before


class Reader:
    """The utility as a scorer, with its terms as parts."""

    description = (
        "simulated, not people: a program's utility (sentiment by letters, fluency by word pairs, different words) that "
        "shares no term with the annotators'"
    )

    def __init__(self, letters: LetterBayes, bigrams: Bigrams, usual: float) -> None:
        """usual: mean log-probability of a word in people's sentences, nats."""
        self.letters, self.bigrams, self.usual = letters, bigrams, usual

    @classmethod
    def fit(
        cls, sentences: Sequence[str], labels: Sequence[bool], halves: Sequence[tuple[str, str]], other: Sequence[str]
    ) -> Reader:
        """Fit the sentiment to labelled sentences, the word pairs to `other` texts.

        halves: sentences as prompt and response, which tell how fluent people are; no part of `other`.
        """
        bigrams = Bigrams.fit(other)
        usual = float(np.mean([bigrams.log_likelihood(prompt, response, True) for prompt, response in halves]))
        return cls(LetterBayes.fit(sentences, labels), bigrams, round(usual, 4))

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One utility for each completion."""
        texts = [c.prompt.text + c.response for c in completions]
        moods = np.tanh(self.letters(texts) / 2.0) if texts else np.zeros(0)
        scores = []
        for completion, mood in zip(completions, moods, strict=True):
            parts = {
                "sentiment by letters": float(mood),
                "fluency": self.fluency(completion),
                "variety": 1.0 - NEW_WORD ** len(set(completion.response.lower().split())),
            }
            scores.append(Score(score=sum(parts.values()), parts=parts))
        return scores

    def fluency(self, completion: Completion) -> float:
        """Nats a word above people's sentences, between `LEAST` and `MOST`; an answer without a word has the least."""
        mean = self.bigrams.log_likelihood(completion.prompt.text, completion.response, completion.finished)
        return LEAST if math.isnan(mean) else float(np.clip(mean - self.usual, LEAST, MOST))

    def save(self, path: Path) -> None:
        """Write the tables to a file."""
        write_json(path, self.table())

    def table(self) -> dict[str, Any]:
        """All of it as JSON, from which `simulated.load` makes it again."""
        tables = {"letters": self.letters.table(), "bigrams": self.bigrams.table()}
        return {"kind": "reader", "usual": self.usual, **tables}

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> Reader:
        """What a `table` describes."""
        return cls(LetterBayes.from_table(table["letters"]), Bigrams.from_table(table["bigrams"]), table["usual"])
