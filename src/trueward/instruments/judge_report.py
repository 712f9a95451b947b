"""How far a judge can be believed: its liking for a place, its failures, its agreement with those it stands in for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trueward.config import Judge as Settings
from trueward.instruments.statistics import standard_error, wilson
from trueward.scorers.judge.judge import Preference, Rating


def of_preferences(found: Sequence[Preference], settings: Settings) -> dict[str, Any]:
    """What comparing says of the judge. The bias is the mean of (l(1, 2) + l(2, 1)) / 2, in logits, above 0 where it likes
    the place shown first; a pair is flipped where the two orders pick different answers, |bias| above |preference|."""
    judged = [f for f in found if f.logit is not None]
    ordered = [(f.bias, f.logit) for f in judged if f.bias is not None]
    bias, logit = np.array(ordered, dtype=np.float64).reshape(-1, 2).T
    return {
        **_of(found, settings),
        "position_bias": _number(bias.mean()) if len(bias) else None,
        "position_bias_se": _number(standard_error(bias)),
        "flipped": _number((np.abs(bias) > np.abs(logit)).mean()) if len(bias) else None,
    }


def of_ratings(found: Sequence[Rating], settings: Settings) -> dict[str, Any]:
    """What rating says of the judge; answers asked about by themselves have no order."""
    return {**_of(found, settings), "position_bias": None, "position_bias_se": None, "flipped": None}


def agreement(judged: np.ndarray, other: np.ndarray, who: str) -> dict[str, Any]:
    """How often it picks the answer that `who` picks, with Wilson's interval; pairs that `who` calls equal aside.

    judged, other [n]: above 0 where the first is better; a 0 of the judge's is half right. NaN: no judgement, aside.
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


def _of(found: Sequence[Preference] | Sequence[Rating], settings: Settings) -> dict[str, Any]:
    failures = [f.wrong for f in found if f.wrong]
    masses = [f.mass for f in found if f.mass is not None]
    return {
        "model": settings.model,
        "endpoint": settings.endpoint,
        "principles": len(settings.principles),
        "asked": len(found),
        "failed": len(failures),
        "failure": failures[0] if failures else None,
        "mass": _number(float(np.mean(masses))) if masses else None,
        "cost": round(sum(f.cost for f in found), 6),
    }


def _number(value: float) -> float | None:
    return round(float(value), 5) if np.isfinite(value) else None
