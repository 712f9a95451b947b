"""A scorer of several processes: each scores its share of the completions, and all get all scores."""

from __future__ import annotations

from collections.abc import Sequence

from trueward.parallel.fabric import Fabric
from trueward.records import Completion, Score
from trueward.scorers.scorer import Scorer


class SharedScorer:
    """Wraps a process's own scorer. No completion is scored twice, and every process gets the same scores."""

    def __init__(self, fabric: Fabric, scorer: Scorer) -> None:
        """fabric: the processes. scorer: this process's own."""
        self.fabric, self.scorer = fabric, scorer

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The scores of all completions, in order. All processes have to call it with the same ones."""
        if self.fabric.is_alone:
            return self.scorer(completions)
        mine = self.fabric.share(len(completions)).tolist()
        scores = self.scorer([completions[i] for i in mine]) if mine else []
        whole = "\0".join(line for c in completions for line in (c.prompt.as_json(), c.response, str(c.finished)))
        given = [score.model_dump(mode="json") for score in scores]
        rows = self.fabric.gather_rows(given, "answers that are scored", whole)
        return [Score.model_validate(row) for row in rows]
