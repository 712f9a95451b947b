"""A scorer whose scores come from elsewhere: from scorers that hold the reward each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from trueward.parallel.fabric import Fabric
from trueward.records import Completion, Score
from trueward.scorers.scorer import Scorer

Rows = Sequence[Mapping[str, Any]]


class ScorerPool(Protocol):
    """Scorers elsewhere. One that dies is started anew and asked again; `ValueError` in one line where that doesn't help."""

    count: int

    def score(self, requests: Mapping[int, Rows]) -> dict[int, Mapping[str, Any]]:
        """Each scorer's reply to its completions (JSON), by its number: the `scores`, and which `process` it is."""


class RemoteScorer:
    """Scorer i of C gets every C-th completion: an answer is scored once. tell: is told of who has died."""

    def __init__(self, scorers: ScorerPool, tell: Callable[[str], None] = lambda line: None) -> None:
        self.scorers, self.tell = scorers, tell
        self.processes: dict[int, Any] = {}

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The scores of all completions, in order."""
        count = self.scorers.count
        rows = [completion.model_dump(mode="json") for completion in completions]
        replies = self.scorers.score({i: rows[i::count] for i in range(min(count, len(rows)))})
        out: list[Any] = [None] * len(rows)
        for i, reply in replies.items():
            scored, sent = reply["scores"], len(rows[i::count])
            if len(scored) != sent:
                raise ValueError(f"scorer {i}: {sent} answers were sent, and {len(scored)} scores came back")
            out[i::count] = [Score.model_validate(row) for row in scored]
            before, self.processes[i] = self.processes.get(i), reply["process"]
            if before is not None and before != reply["process"]:
                self.tell(f"scorer {i} had ended: it was started again, and asked again what it hadn't answered")
        return out


class LedScorer:
    """A scorer of several processes of which rank 0 alone asks it, for all."""

    def __init__(self, fabric: Fabric, scorer: Scorer | None) -> None:
        """scorer: rank 0's; the others have none."""
        self.fabric, self.scorer = fabric, scorer

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The scores of all completions, in order. All processes have to call it with the same ones."""
        if self.fabric.is_alone:
            assert self.scorer is not None
            return self.scorer(completions)
        whole = "\0".join(line for c in completions for line in (c.prompt.as_json(), c.response, str(c.finished)))
        self.fabric.agree("answers that are scored", whole)
        rows = self.fabric.led(lambda: self._scored(completions), lambda rows: rows)
        return [Score.model_validate(row) for row in rows]

    def _scored(self, completions: Sequence[Completion]) -> list[dict[str, Any]]:
        assert self.scorer is not None
        return [score.model_dump(mode="json") for score in self.scorer(completions)]
