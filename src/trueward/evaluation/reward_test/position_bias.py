"""Does a judge that compares two answers prefer the one that stands first?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trueward.evaluation.clustered import share
from trueward.evaluation.reward_test.answers import AnswerPool
from trueward.evaluation.reward_test.sign_flip import p_value
from trueward.evaluation.statistics import standard_error, student_quantile
from trueward.records import Completion

if TYPE_CHECKING:
    from trueward.scorers.judge.llm_judge import Preference

Pair = tuple[Completion, Completion]
Compare = Callable[[Sequence[Pair]], "Sequence[Preference]"]


def pairs_of(answers: AnswerPool) -> list[Pair]:
    """The first two answers to each prompt that has two."""
    groups: dict[str, list[Completion]] = {}
    for c in answers.completions:
        groups.setdefault(c.prompt.id, []).append(c)
    return [(group[0], group[1]) for group in groups.values() if len(group) > 1]


def position_bias(compare: Compare, pairs: Sequence[Pair], seed: int) -> dict[str, Any]:
    """The mean bias towards the first place in log-odds, and the share of pairs whose winner the order decides.

    compare: both orders of each pair.
    """
    judged = [p for p in compare(pairs) if p.logit is not None and p.bias is not None]
    row: dict[str, Any] = {"pairs": len(pairs), "missing": len(pairs) - len(judged), "p": 1.0}
    if len(judged) < 2:
        return row | dict.fromkeys(("bias", "low", "high", "decides", "decides_low", "decides_high"))
    bias, logit = np.array([p.bias for p in judged]), np.array([p.logit for p in judged])
    half = student_quantile(0.975, len(bias) - 1) * standard_error(bias)
    decides, low, high = share((np.abs(bias) > np.abs(logit)).astype(float), np.arange(len(bias)))
    return row | {
        "bias": float(bias.mean()),
        "low": float(bias.mean() - half),
        "high": float(bias.mean() + half),
        "decides": decides,
        "decides_low": low,
        "decides_high": high,
        "p": p_value(bias, seed),
        "cost": sum(p.cost for p in judged),
    }
