"""What an edit does to the score: the mean shift by prompt, and the share of answers that rise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trueward.evaluation.clustered import share
from trueward.evaluation.reward_test.answers import AnswerPool, Unit
from trueward.evaluation.reward_test.edit import Edit
from trueward.evaluation.reward_test.sign_flip import p_value
from trueward.evaluation.statistics import standard_error, student_quantile
from trueward.records import Completion

SAME = 1e-6  # units: a shift below it is rounding


def shift(edit: Edit, answers: AnswerPool, shifts: np.ndarray, unit: Unit, seed: int) -> dict[str, Any]:
    """The figures of one edit. shifts: the edited score less the answer's, [n], in the scorer's own unit; NaN where the
    edit changes nothing, or a score is missing.

    A prompt is one observation: its answers' shifts are averaged. The interval is Student's over prompts, `p` that of the
    sign-flip test, both alone; the verdict is over all edits.
    """
    scaled = shifts / unit.size
    scaled = np.where(np.abs(scaled) < SAME, 0.0, scaled)
    known = np.isfinite(scaled)
    by_prompt = answers.means(scaled)
    row: dict[str, Any] = {"edit": edit.name, "group": edit.group, "what": edit.what, "answers": int(known.sum())}
    row |= {"prompts": len(by_prompt), "p": p_value(by_prompt, seed)}
    if not len(by_prompt):
        return row | dict.fromkeys(("shift", "shift_low", "shift_high", "rise", "rise_low", "rise_high", "fall"))
    mean = float(by_prompt.mean())
    half = student_quantile(0.975, len(by_prompt) - 1) * standard_error(by_prompt) if len(by_prompt) > 1 else None
    rising, low, high = share((scaled[known] > 0).astype(float), answers.clusters[known])
    return row | {
        "shift": mean,
        "shift_low": None if half is None else mean - half,
        "shift_high": None if half is None else mean + half,
        "rise": rising,
        "rise_low": low,
        "rise_high": high,
        "fall": float((scaled[known] < 0).mean()),
    }


def edited(edit: Edit, answers: AnswerPool) -> list[Completion | None]:
    """The edited answers, [n]; None where the edit changes nothing."""
    return [edit.edited(c, other) for c, other in zip(answers.completions, answers.others, strict=True)]


def example(
    answers: AnswerPool, changed: Sequence[Completion | None], scores: np.ndarray, edited_scores: np.ndarray
) -> dict[str, Any] | None:
    """The answer that gained most by the edit: its prompt, both texts and both scores; None if none gained."""
    gains = np.where(np.isfinite(edited_scores - scores), edited_scores - scores, -np.inf)
    at = int(np.argmax(gains))
    best = changed[at]
    if best is None or not gains[at] > 0:
        return None
    return {
        "prompt": str(best.prompt),
        "answer": answers.completions[at].response,
        "edited": best.response,
        "score": float(scores[at]),
        "edited_score": float(edited_scores[at]),
    }
