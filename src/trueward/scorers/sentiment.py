"""How positive a text is, in log-odds: a classifier fitted to labelled reviews, or a list of words.

Plain programs, saved as JSON: the inside of the simulated annotators (scorers/simulated.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from trueward.extras import require


class Sentiment(Protocol):
    """Rates how positive a text is."""

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of being positive, float64 [n]."""

    def table(self) -> dict[str, Any]:
        """All of it as JSON; `from_table` makes it again."""


class Lexicon:
    """The sum of the weights of a text's words."""

    def __init__(self, weights: dict[str, float]) -> None:
        """weights: log-odds by word, in lower case."""
        self.weights = weights

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of being positive, [n]."""
        return np.array([sum(self.weights.get(w, 0.0) for w in re.findall(r"\w+", t.lower())) for t in texts])

    def table(self) -> dict[str, Any]:
        """As `Sentiment`."""
        return {"kind": "lexicon", "weights": self.weights}


class Classifier:
    """TF-IDF of words and word pairs, logistic regression, and Platt's scaling on short texts (Platt 1999)."""

    def __init__(
        self, words: list[str], idf: np.ndarray, weights: np.ndarray, intercept: float, slope: float, shift: float
    ) -> None:
        """words: the vocabulary, with as many idf and weights. intercept: of the regression. slope, shift: Platt's scaling."""
        self.words, self.idf, self.weights = words, idf, weights
        self.intercept, self.slope, self.shift = intercept, slope, shift
        self.vectorizer = _vectorizer(vocabulary=words)
        self.vectorizer.idf_ = idf

    @classmethod
    def fit(
        cls, texts: Sequence[str], labels: Sequence[bool], short: Sequence[str], short_labels: Sequence[bool]
    ) -> Classifier:
        """Fit the regression to long texts, and slope and shift to short ones, which are what it will read."""
        require("the simulated annotators need", "quickstart", "sklearn")
        from sklearn.linear_model import LogisticRegression

        vectorizer = _vectorizer(min_df=5, max_features=40_000)
        features = vectorizer.fit_transform(texts)
        model = LogisticRegression(C=4.0, max_iter=200).fit(features, labels)
        raw = model.decision_function(vectorizer.transform(short))
        platt = LogisticRegression(C=1e6).fit(raw[:, None], short_labels)
        words = [str(w) for w in vectorizer.get_feature_names_out()]
        return cls(
            words,
            np.round(vectorizer.idf_, 5),
            np.round(model.coef_[0], 5),
            float(model.intercept_[0]),
            float(platt.coef_[0, 0]),
            float(platt.intercept_[0]),
        )

    def raw(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds before scaling, [n]: right for texts as long as those it was fitted to."""
        return np.asarray(self.vectorizer.transform(texts) @ self.weights + self.intercept)

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """Log-odds of being positive, [n]."""
        return self.slope * self.raw(texts) + self.shift

    def table(self) -> dict[str, Any]:
        """As `Sentiment`."""
        return {
            "kind": "classifier",
            "words": self.words,
            "idf": self.idf.tolist(),
            "weights": self.weights.tolist(),
            "intercept": self.intercept,
            "slope": self.slope,
            "shift": self.shift,
        }


def from_table(table: dict[str, Any]) -> Sentiment:
    """The lexicon or classifier that a `table` describes."""
    if table["kind"] == "lexicon":
        return Lexicon(table["weights"])
    return Classifier(
        table["words"],
        np.array(table["idf"]),
        np.array(table["weights"]),
        table["intercept"],
        table["slope"],
        table["shift"],
    )


def _vectorizer(**settings: Any) -> Any:
    require("the simulated annotators need", "quickstart", "sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        ngram_range=(1, 2),
        sublinear_tf=True,
        lowercase=True,
        token_pattern=r"(?u)\b\w[\w']*\b",
        dtype=np.float64,
        **settings,
    )
