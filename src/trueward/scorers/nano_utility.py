"""The utility of the nano lab's simulated annotators: they like different words, and dislike a word that comes too often.

    1 − 0.75^d            d: how many different liked words the answer has; each is worth ¾ of the one before
    − 0.1 · Σ_w (n_w − 3)⁺   n_w: how often the word w comes; from the fourth time on it annoys

A linear function of word counts can express neither: a reward model that reads a bag of words learns which words are liked, but
not that repeating one adds nothing, nor that it annoys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trueward.artifacts import write_json
from trueward.records import Completion, Score

KEPT, OFTEN, ANNOYANCE = 0.75, 3, 0.1


class DistinctWords:
    """The utility as a scorer. It reads the answer alone; whether the answer was cut makes no difference."""

    description = (
        "simulated, not people: Bradley–Terry on a program's utility (different liked words, saturating, minus words "
        "that come more than three times)"
    )

    def __init__(self, liked: Sequence[str]) -> None:
        """liked: the words that the annotators like."""
        self.liked = frozenset(liked)

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion, with the parts `liked` and `repeated`."""
        verdicts = []
        for completion in completions:
            counts = Counter(completion.response.split())
            parts = {
                "liked": 1.0 - KEPT ** len(self.liked & counts.keys()),
                "repeated": -ANNOYANCE * sum(n - OFTEN for n in counts.values() if n > OFTEN),
            }
            verdicts.append(Score(score=sum(parts.values()), parts=parts))
        return verdicts

    def table(self) -> dict[str, Any]:
        """The utility as JSON, from which `simulated.load` makes it again."""
        return {"kind": "distinct words", "liked": sorted(self.liked)}

    def save(self, path: Path) -> None:
        """Write the table to a file."""
        write_json(path, self.table())
