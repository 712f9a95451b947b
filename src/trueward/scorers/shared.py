"""A scorer of several processes: each scores its share, so that a judge is paid once, and all of them get the same scores."""

from __future__ import annotations

from collections.abc import Sequence

from trueward.parallel.fabric import Fabric
from trueward.records import Completion, Score
from trueward.scorers.scorer import Scorer


class SharedScorer:
    """Wraps a process's own scorer. What is gathered is the same everywhere, even if the scorer isn't."""

    def __init__(self, fabric: Fabric, scorer: Scorer) -> None:
        self.fabric, self.scorer = fabric, scorer

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        if self.fabric.is_alone:
            return self.scorer(completions)
        mine = self.fabric.share(len(completions)).tolist()
        scores = self.scorer([completions[i] for i in mine]) if mine else []
        rows = self.fabric.gather_rows([score.model_dump(mode="json") for score in scores])
        return [Score.model_validate(row) for row in rows]
