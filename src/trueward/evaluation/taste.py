"""What tells a person's choices: a reward model of a dozen features that a reader understands, fitted to them.

P(first is chosen) = σ(w·(f(first) − f(second))) (Bradley & Terry 1952), with a normal prior on w, so that few choices say
little.
Its accuracy is that on choices that it was not fitted to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from trueward.evaluation import features
from trueward.evaluation.statistics import wilson
from trueward.records import Response

FEWEST = 20  # choices; fewer teach nothing that an interval would let stand
FOLDS = 10
Floats = NDArray[np.float64]

FEATURES: dict[str, tuple[str, str, Callable[[Response], float]]] = {
    "length": ("was longer", "was shorter", lambda r: math.log2(1 + len(r.text.split()))),
    "lines": ("had more lines", "had fewer lines", lambda r: math.log2(1 + r.text.strip().count("\n"))),
    "words": ("had longer words", "had shorter words", lambda r: _mean([len(w) for w in re.findall(r"\w+", r.text)])),
    "exclamation": (
        "had more exclamation marks",
        "had fewer exclamation marks",
        lambda r: float(min(3, r.text.count("!"))),
    ),
    "question": ("asked more questions", "asked fewer questions", lambda r: float(min(3, r.text.count("?")))),
    "numbers": ("had more numbers", "had fewer numbers", lambda r: float(min(5, len(re.findall(r"\d+", r.text))))),
    "repetition": ("repeated itself more", "repeated itself less", lambda r: _repeated(r.text.lower().split())),
    "list": ("had a list", "had no list", lambda r: _has(r, "has a list")),
    "bold": ("had bold words", "had no bold words", lambda r: _has(r, "has bold words")),
    "code": ("had code", "had no code", lambda r: _has(r, "has code")),
    "cut": ("was cut off", "ended by itself", lambda r: float(not r.finished)),
}
"""Features by name: what an answer with more of it is said to be, what one with less, and its value."""


@dataclass(frozen=True)
class Leaning:
    """How often the answer on one side of a feature was chosen, where the two differ in it, with a 95 % interval (Wilson)."""

    name: str
    words: str
    """What that answer was: `was longer`."""
    chosen: int
    of: int
    low: float
    high: float
    weight: float
    """Of the feature in the reward model, for an SD of its difference, beside all others; negative where less was chosen."""


@dataclass(frozen=True)
class Taste:
    """What was fitted to one person's choices."""

    choices: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    leanings: tuple[Leaning, ...]
    """Those whose interval leaves out a half, the clearest first."""

    def row(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def fit(choices: Sequence[tuple[Response, Response]]) -> Taste | None:
    """The taste of whoever chose the first of each two; None where there are fewer than `FEWEST` choices."""
    if len(choices) < FEWEST:
        return None
    apart = np.array([[value(a) - value(b) for *_, value in FEATURES.values()] for a, b in choices], dtype=np.float64)
    size = np.sqrt(np.mean(apart**2, axis=0))
    scaled = apart / np.where(size > 0, size, 1.0)
    weights = _weights(scaled)
    right = 0.0
    for fold in range(FOLDS):
        out = np.arange(len(scaled)) % FOLDS == fold
        margins = scaled[out] @ _weights(scaled[~out])
        right += float((margins > 0).sum()) + 0.5 * float((margins == 0).sum())
    low, high = wilson(right, len(choices))
    found = [_leaning(name, apart[:, i], float(weights[i])) for i, name in enumerate(FEATURES)]
    clear = [leaning for leaning in found if leaning.of and not leaning.low <= 0.5 <= leaning.high]
    clear.sort(key=lambda one: -one.chosen / one.of)
    return Taste(len(choices), right / len(choices), low, high, tuple(clear))


def _leaning(name: str, apart: Floats, weight: float) -> Leaning:
    more, of = int((apart > 0).sum()), int((apart != 0).sum())
    is_less = 2 * more < of
    chosen = of - more if is_less else more
    low, high = wilson(chosen, of) if of else (0.0, 1.0)
    more_words, less_words, _ = FEATURES[name]
    return Leaning(name, less_words if is_less else more_words, chosen, of, low, high, weight)


def _weights(apart: Floats) -> Floats:
    """The mode of Bradley–Terry's likelihood with a standard normal prior, by Newton's method: [n, k] -> [k]."""
    weights = np.zeros(apart.shape[1])
    for _ in range(50):
        wrong = expit(-(apart @ weights))
        gradient = apart.T @ wrong - weights
        curvature = (apart * (wrong * (1 - wrong))[:, None]).T @ apart + np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient)
        weights = weights + step
        if float(np.abs(step).max()) < 1e-10:
            break
    return weights


def _has(response: Response, form: str) -> float:
    return float(form in features.read(response.text, response.finished).forms)


def _mean(values: Sequence[int]) -> float:
    return sum(values) / len(values) if values else 0.0


def _repeated(words: Sequence[str]) -> float:
    return 1 - len(set(words)) / len(words) if words else 0.0
