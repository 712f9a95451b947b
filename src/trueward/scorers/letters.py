"""How positive a text is, by its letters: naive Bayes on sequences of two to four characters.

It shares neither features nor method with the classifiers of scorers/sentiment.py, which weigh words and word pairs by logistic
regression.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trueward.extras import require

RARE = 4  # a sequence must be in as many texts
SMOOTHING = 2.0  # texts of each kind that are added to a sequence's count
CALIBRATION = 5  # one text of so many isn't counted, and sets the scale


class LetterBayes:
    """Naive Bayes on which character sequences a text has, within words (multinomial, each sequence once a text)."""

    def __init__(self, sequences: list[str], weights: np.ndarray, slope: float, shift: float) -> None:
        """sequences: those that count. weights: log-odds of each, [len(sequences)]. slope, shift: of Platt's scaling."""
        self.sequences, self.weights, self.slope, self.shift = sequences, weights, slope, shift
        self.vectorizer = _vectorizer(vocabulary=sequences)

    @classmethod
    def fit(cls, texts: Sequence[str], labels: Sequence[bool]) -> LetterBayes:
        """Count in four texts of five; the fifth ones set the scale, since naive Bayes is too sure of itself."""
        require("the simulated annotators need", "quickstart", "sklearn")
        from sklearn.linear_model import LogisticRegression

        positive = np.array(labels, bool)
        counted = np.arange(len(texts)) % CALIBRATION != 0
        vectorizer = _vectorizer(min_df=RARE, max_features=40_000)
        features = vectorizer.fit_transform([t for t, own in zip(texts, counted, strict=True) if own])
        own = positive[counted]
        logs = []
        for kind in (True, False):
            counts = np.asarray(features[own == kind].sum(axis=0), float).ravel() + SMOOTHING
            logs.append(np.log(counts / counts.sum()))
        weights = np.round(logs[0] - logs[1], 5)
        sequences = [str(s) for s in vectorizer.get_feature_names_out()]
        bayes = cls(sequences, weights, 1.0, 0.0)
        raw = bayes([t for t, own in zip(texts, counted, strict=True) if not own])
        platt = LogisticRegression(C=1e6).fit(raw[:, None], positive[~counted])
        return cls(sequences, weights, float(platt.coef_[0, 0]), float(platt.intercept_[0]))

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of being positive, float64 [n]."""
        return self.slope * np.asarray(self.vectorizer.transform(texts) @ self.weights) + self.shift

    def table(self) -> dict[str, Any]:
        """All of it as JSON; `from_table` makes it again."""
        return {
            "sequences": self.sequences,
            "weights": self.weights.tolist(),
            "slope": self.slope,
            "shift": self.shift,
        }

    @classmethod
    def from_table(cls, table: dict[str, Any]) -> LetterBayes:
        """What a `table` describes."""
        return cls(table["sequences"], np.array(table["weights"]), table["slope"], table["shift"])


def _vectorizer(**settings: Any) -> Any:
    require("the simulated annotators need", "quickstart", "sklearn")
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(
        analyzer="char_wb", ngram_range=(2, 4), lowercase=True, binary=True, dtype=np.float64, **settings
    )
