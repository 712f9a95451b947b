"""A scorer of several processes: each scores its share of the completions, and all get all scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trueward.parallel.fabric import DivergedError, Fabric
from trueward.records import Completion, Score
from trueward.scorers.scorer import ABSTAINED, Scorer, is_deterministic

ASKED_AGAIN = 50  # calls from one comparison of the processes' scorers to the next
CLOSE = 0.1  # SDs: rounding differs with what is read beside an answer, most of all in bfloat16


class SharedScorer:
    """Wraps a process's own scorer. No completion is scored twice, and every process gets the same scores.

    Of a scorer that is `deterministic` every other process also scores the first answer, which is rank 0's, at the first call
    and at every `ASKED_AGAIN`-th after it: scorers that have come apart (other files, other random numbers) end the run.
    """

    def __init__(self, fabric: Fabric, scorer: Scorer) -> None:
        """fabric: the processes. scorer: this process's own."""
        self.fabric, self.scorer = fabric, scorer
        self.calls = 0

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The scores of all completions, in order. All processes have to call it with the same ones.

        `DivergedError` that names a rank whose scorer gives the first answer another score than rank 0's.
        """
        if self.fabric.is_alone:
            return self.scorer(completions)
        mine = self.fabric.share(len(completions)).tolist()
        scores = self.scorer([completions[i] for i in mine]) if mine else []
        whole = "\0".join(line for c in completions for line in (c.prompt.as_json(), c.response, str(c.finished)))
        given = [score.model_dump(mode="json") for score in scores]
        rows = self.fabric.gather_rows(given, "answers that are scored", whole)
        every = [Score.model_validate(row) for row in rows]
        if completions and not self.calls % ASKED_AGAIN and is_deterministic(self.scorer):
            self._compare(completions[0], every[0])
        self.calls += 1
        return every

    def _compare(self, answer: Completion, expected: Score) -> None:
        own = expected if self.fabric.leads else self.scorer([answer])[0]
        found = [Score.model_validate(score) for score in self.fabric.gather(own.model_dump(mode="json"))]
        for rank, other in enumerate(found):
            if not _is_same(other, expected):
                raise DivergedError(
                    f"the scorer: rank {rank} gives {other.score:.4g} to an answer that rank 0 gives {expected.score:.4g} "
                    f"({answer.response[:40]!r}); it says that it is deterministic"
                )


def _is_same(one: Score, other: Score) -> bool:
    """Whether two scores differ by rounding alone; of who abstains the score is made up from others of the call."""
    if ABSTAINED in one.parts or ABSTAINED in other.parts:
        return (ABSTAINED in one.parts) == (ABSTAINED in other.parts)
    if one.score == other.score or (math.isnan(one.score) and math.isnan(other.score)):
        return True
    return abs(one.score - other.score) <= CLOSE
