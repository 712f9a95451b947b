"""The protocol that every source of reward implements, and the scale that its scores are put on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from trueward.records import Completion, Score
from trueward.tracking import beats

ABSTAINED = "abstained"
"""The part, 1, of a score that stands for none: the scorer abstained, or has nothing to say of that answer."""
LOGGED = ("unshaped", "member_sd")  # parts of a score: that before shaping, the SD between an ensemble's members


class Scorer(Protocol):
    """Maps completions to scores, one each, in order."""

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The scores of n completions."""


def bounds(scorer: Scorer) -> tuple[float, float] | None:
    """The lowest and the highest score that there can be, the scorer's attribute `bounds`; None if it has none.

    A truth with bounds is tested by a test that needs no more than them (`evaluation.betting`). `ValueError` for other values.
    """
    ends = getattr(scorer, "bounds", None)
    if ends is None:
        return None
    try:
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError):
        low = high = math.nan
    if not -math.inf < low < high < math.inf:
        raise ValueError(f"{scorer}: bounds: expected two numbers, the lowest and the highest score, got {ends!r}")
    return low, high


def is_deterministic(scorer: Any) -> bool:
    """Whether a scorer says of itself that it gives an answer the same score in every process, and that asking costs nothing.

    Its attribute `deterministic`. Reward models and verifiers that run no code have it; a wrapper has it if what it wraps has.
    """
    return bool(getattr(scorer, "deterministic", False))


def scores(scorer: Scorer, completions: Sequence[Completion]) -> np.ndarray:
    """The scorer's numbers alone, float64 [n]."""
    return np.array([v.score for v in scorer(completions)], dtype=np.float64)


@dataclass(frozen=True)
class ScoredBatch:
    """The scores of a rollout, float64 [n], and those parts that a training loop logs (`LOGGED`), [n] each."""

    score: np.ndarray
    parts: dict[str, np.ndarray]

    @classmethod
    def of(cls, scorer: Scorer, completions: Sequence[Completion]) -> ScoredBatch:
        """The scores of these completions."""
        with beats.beat("judge"):
            verdicts = scorer(completions)
        names = [name for name in LOGGED if verdicts and name in verdicts[0].parts]
        return cls(
            np.array([v.score for v in verdicts], dtype=np.float64),
            {name: np.array([v.parts[name] for v in verdicts], dtype=np.float64) for name in names},
        )

    @classmethod
    def join(cls, rounds: Sequence[ScoredBatch]) -> ScoredBatch:
        """Several batches as one, in order. All have the same parts."""
        return cls(
            np.concatenate([r.score for r in rounds]),
            {name: np.concatenate([r.parts[name] for r in rounds]) for name in rounds[0].parts},
        )

    def metrics(self) -> dict[str, float]:
        """The mean of each part, as `objective/PART`."""
        return {f"objective/{name}": float(values.mean()) for name, values in self.parts.items()}

    def rows(self) -> list[dict[str, float]]:
        """The parts of each answer."""
        return [{name: round(float(v[i]), 5) for name, v in self.parts.items()} for i in range(len(self.score))]


@dataclass(frozen=True)
class Scale:
    """Mean and SD of a score under the reference policy: what becomes 0 and 1."""

    mean: float
    sd: float

    def apply(self, score: np.ndarray) -> np.ndarray:
        """(score − mean) / SD, any shape."""
        return (score - self.mean) / self.sd


def judged_pairs(scorer: Scorer, answers: Sequence[Completion], what: str) -> np.ndarray:
    """The scores of the reference policy's answers, two to each prompt, [prompts, 2], where it abstained from neither.

    `ValueError` if that leaves none. what: its name there.
    """
    scored = scorer(answers)
    spoken = np.array([ABSTAINED not in v.parts for v in scored]).reshape(-1, 2).all(axis=1)
    if not spoken.any():
        raise ValueError(f"{what} abstains from all of the SFT policy's answers (it returns None): nothing to optimise")
    return np.array([v.score for v in scored], dtype=np.float64).reshape(-1, 2)[spoken]


def fit_scale(score: np.ndarray, what: str) -> Scale:
    """The scale from the reference policy's own answers: score [prompts, answers], two or more answers to each prompt.

    The SD is that within a prompt. A constant added to the scores of all answers to a prompt doesn't change the optimal policy
    of the KL-regularised objective, so differences between prompts have no part in the unit that β is measured in.

    `ValueError` if all answers to each prompt score the same: there is nothing to optimise, and no unit. what: its name there.
    """
    assert score.ndim == 2
    assert score.shape[1] >= 2
    sd = float(np.sqrt(score.var(axis=1, ddof=1).mean()))
    if not np.isfinite(sd) or sd < 1e-9:
        raise ValueError(
            f"{what} gives the same score to all of the SFT policy's answers (SD 0): nothing to optimise; "
            "look at the comparisons or the scorer"
        )
    return Scale(float(score.mean()), sd)
