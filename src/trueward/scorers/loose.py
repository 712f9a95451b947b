"""Two verifiers that are too easily pleased, for the recipe `loose-verifier`: what RLVR does with them is the lesson.

They are functions and no `Verifier`s, since a verifier of theirs fails its self-test: `1 or 2` and all numbers at once score 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from trueward.records import Completion

NUMBER = re.compile(r"[0-9]+")
FORM = re.compile(r"\s*it is [0-9]+ \.\s*", re.IGNORECASE)


def number_anywhere(completions: Sequence[Completion]) -> list[float]:
    """1 if the answer key is among the numbers of the answer, whatever else stands there."""
    return [float((c.prompt.answer or "").strip() in NUMBER.findall(c.response)) for c in completions]


def form_alone(completions: Sequence[Completion]) -> list[float]:
    """1 for an answer of the form "it is 7 .", with any number."""
    return [float(FORM.fullmatch(c.response) is not None) for c in completions]


# What a test of their means may rely on (evaluation/betting.py); a function's type knows no such attribute.
number_anywhere.bounds = form_alone.bounds = (0.0, 1.0)  # type: ignore[attr-defined]
