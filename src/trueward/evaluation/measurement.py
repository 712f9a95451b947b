"""The figures of a measurement that need the answers' texts and scores alone: no model, no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trueward.evaluation import diversity
from trueward.evaluation.feature_shift import ScoredAnswer, feature_shift
from trueward.evaluation.paired import paired
from trueward.records import Completion


@dataclass(frozen=True)
class Measurement:
    """One evaluation: its row of figures, and for each prompt the answer with its scores."""

    row: dict[str, Any]
    samples: list[dict[str, Any]]


def paired_gain(
    name: str, ours: np.ndarray, theirs: np.ndarray, span: float | None = None, is_reference: bool = False
) -> dict[str, float | None]:
    """The policy's scores minus the reference's, paired by prompt: mean, standard error and test, as `name` and `name_gain`.

    span: as in `paired`. is_reference: `ours` are the reference's own, of which there is no error. The two are one number: the
    reference's own mean on these prompts is what 0 stands for.
    """
    test = paired(ours, theirs, span)
    mean, se = number(test.mean), None if is_reference else number(test.se)
    return {
        name: mean,
        f"{name}_se": se,
        f"{name}_gain": mean,
        f"{name}_gain_se": se,
        f"{name}_gain_z": number(test.z),
    }


def word_statistics(completions: Sequence[Completion]) -> dict[str, Any]:
    """Share that ended by themselves, variety of the words, share of different answers, share that repeat the prompt."""
    words = [c.response.lower().split() for c in completions]
    return {
        "eos_rate": number(float(np.mean([c.finished for c in completions]))),
        **{name: number(value) for name, value in diversity.figures(words).items()},
        "unique": number(len({c.response for c in completions}) / max(1, len(words))),
        "echo_rate": number(float(np.mean([echoes(str(c.prompt), c.response) for c in completions]))),
    }


def feature_shifts(samples: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """`feature_shift` of the policy's answers against the reference's, from the samples of a measurement."""

    def answers(text: str, *others: str) -> list[ScoredAnswer]:
        finished, proxy, truth = others
        return [
            ScoredAnswer(
                row[text], row[finished], *(np.nan if row[key] is None else row[key] for key in (proxy, truth))
            )
            for row in samples
        ]

    ours = answers("response", "finished", "proxy", "truth")
    return feature_shift(ours, answers("reference", "reference_finished", "reference_proxy", "reference_truth"))


def echoes(prompt: str, response: str) -> bool:
    """Whether the answer repeats the prompt, word for word."""
    return bool(prompt.split()) and f" {' '.join(prompt.lower().split())} " in f" {' '.join(response.lower().split())} "


def number(x: float) -> float | None:
    """Rounded for a file; None for what is not finite."""
    return round(float(x), 5) if np.isfinite(x) else None
