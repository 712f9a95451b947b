"""How reliable a judge is: its position bias, its failures, and its agreement with people or another reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trueward.config import JudgeConfig as Settings
from trueward.evaluation.statistics import standard_error, wilson
from trueward.scorers.judge.llm_judge import Preference, Rating
from trueward.scorers.judge.ranking import Ranked


def of_preferences(judgements: Sequence[Preference], settings: Settings) -> dict[str, Any]:
    """Figures of a judge that compares.

    The bias is the mean of (l(1, 2) + l(2, 1)) / 2 in logits, above 0 if it favours the answer in the first place; a pair is
    flipped where the two orders pick different answers, |bias| above |preference|.
    """
    judged = [f for f in judgements if f.logit is not None]
    ordered = [(f.bias, f.logit) for f in judged if f.bias is not None]
    bias, logit = np.array(ordered, dtype=np.float64).reshape(-1, 2).T
    return {
        **_of(judgements, settings),
        "position_bias": _number(bias.mean()) if len(bias) else None,
        "position_bias_se": _number(standard_error(bias)),
        "flipped": _number((np.abs(bias) > np.abs(logit)).mean()) if len(bias) else None,
    }


def of_ratings(judgements: Sequence[Rating], settings: Settings) -> dict[str, Any]:
    """Figures of a judge that rates; it sees one answer at a time, so it has no position bias."""
    return {**_of(judgements, settings), "position_bias": None, "position_bias_se": None, "flipped": None}


def of_compared(judgements: Sequence[Preference] | Sequence[Ranked], settings: Settings) -> dict[str, Any]:
    """Figures of a judge that compares or ranks two answers. Of a ranking the bias is not
    known in logits; a pair is flipped where the two orders disagree."""
    preferences = [p for p in judgements if isinstance(p, Preference)]
    if len(preferences) == len(judgements):
        return of_preferences(preferences, settings)
    ranked = [r for r in judgements if isinstance(r, Ranked)]
    undecided = [r.places[0] == r.places[1] for r in ranked if r.places is not None]
    return {
        **_of(ranked, settings),
        "position_bias": None,
        "position_bias_se": None,
        "flipped": _number(float(np.mean(undecided))) if undecided else None,
    }


def agreement(judged: np.ndarray, other: np.ndarray, who: str) -> dict[str, Any]:
    """How often the judge picks the answer that `who` picks, with Wilson's interval, without pairs that `who` calls equal.

    judged, other [n]: above 0 where the first is better; a 0 of the judge's is half right. NaN: no judgement, left out.
    """
    decided = (other != 0) & ~np.isnan(judged)
    n = int(decided.sum())
    right = float(((np.sign(judged[decided]) * np.sign(other[decided]) + 1) / 2).sum())
    low, high = wilson(right, n)
    return {
        "agreement": _number(right / n) if n else None,
        "agreement_low": _number(low),
        "agreement_high": _number(high),
        "agreement_pairs": n,
        "agreement_with": who,
    }


def _of(judgements: Sequence[Preference] | Sequence[Rating] | Sequence[Ranked], settings: Settings) -> dict[str, Any]:
    failures = [f.wrong for f in judgements if f.wrong]
    masses = [mass for f in judgements if (mass := getattr(f, "mass", None)) is not None]
    return {
        "model": settings.model,
        "endpoint": settings.endpoint,
        "principles": len(settings.principles),
        "requests": len(judgements),
        "failed": len(failures),
        "failure": failures[0] if failures else None,
        "mass": _number(float(np.mean(masses))) if masses else None,
        "cost": round(sum(f.cost for f in judgements), 6),
    }


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
