"""A fitted reward model in Python: a scorer in SDs under the SFT policy, with what is known of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from trueward.pipeline.reward_model import FittedReward
from trueward.pipeline.stage import Made
from trueward.records import Completion, Prompt, Score
from trueward.reporting import report as page
from trueward.scorers.ensemble import Proxy
from trueward.training.journal import Row


class LearnedReward:
    """Called with completions it gives their `Score`s, as every scorer does; `score` takes texts."""

    def __init__(self, made: Made[FittedReward], metrics: Sequence[Row] = ()) -> None:
        self.made, self.metrics = made, list(metrics)

    @cached_property
    def proxy(self) -> Proxy:
        return self.made.value.proxy

    @property
    def summary(self) -> Row:
        """accuracy with accuracy_low and accuracy_high, nll, slope … on held-out comparisons (docs/reward_model.md); mean and
        sd, the raw scores that stand for 0 and 1."""
        return self.made.summary

    @property
    def directory(self) -> Path | None:
        """Where it was kept with `out=`; None in memory."""
        path = self.made.artifact.path
        return path if path.parts else None

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        return self.proxy(completions)

    def score(self, prompt: str, response: str | Sequence[str]) -> Any:
        """Of one answer to a prompt, a float, or of several, a list: SDs above the mean of the SFT policy's answers."""
        texts = [response] if isinstance(response, str) else list(response)
        values = [v.score for v in self([Completion(prompt=Prompt(text=prompt), response=t) for t in texts])]
        return values[0] if isinstance(response, str) else values

    def __repr__(self) -> str:
        accuracy = self.summary.get("accuracy")
        return f"LearnedReward({'ready' if accuracy is None else f'accuracy {accuracy:.1%} held out'})"

    def __str__(self) -> str:
        """What its report says, in sentences."""
        return "\n".join(page.reward_summary({"reward_model": self.summary})) or repr(self)
