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
    """A fitted reward model, as `trueward.fit_reward_model` returns it.

    It is a scorer: called with a list of `Completion`s it returns a `Score` for each. `score` takes texts. Scores are
    SDs above the mean of the SFT policy's answers. Printed, it says how well it predicts comparisons that it hasn't
    seen.
    """

    def __init__(self, made: Made[FittedReward], metrics: Sequence[Row] = ()) -> None:
        self.made = made
        self.metrics = list(metrics)
        """A training step a row: loss, accuracy, grad_norm, lr and so on (docs/metrics.md); empty where nothing was trained."""

    @cached_property
    def proxy(self) -> Proxy:
        """The scorer that stages are given: one reward model, or an ensemble as one."""
        return self.made.value.proxy

    @property
    def summary(self) -> Row:
        """Figures on held-out comparisons: `accuracy` with its 95 % interval `accuracy_low` to `accuracy_high`,
        `nll`, `slope` and so on (docs/reward_model.md); `mean` and `sd`, the raw scores that stand for 0 and 1."""
        return self.made.summary

    @property
    def directory(self) -> Path | None:
        """The directory that `out=` named; None if it was made in memory."""
        path = self.made.artifact.path
        return path if path.parts else None

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        return self.proxy(completions)

    def score(self, prompt: str, response: str | Sequence[str]) -> Any:
        """Score answers to one prompt, in SDs above the mean of the SFT policy's answers.

        Args:
            prompt: The prompt, as text.
            response: One answer, or several.

        Returns:
            A float for one answer, a list of floats for several.
        """
        texts = [response] if isinstance(response, str) else list(response)
        values = [v.score for v in self([Completion(prompt=Prompt(text=prompt), response=t) for t in texts])]
        return values[0] if isinstance(response, str) else values

    def __repr__(self) -> str:
        accuracy = self.summary.get("accuracy")
        return f"LearnedReward({'ready' if accuracy is None else f'accuracy {accuracy:.1%} held out'})"

    def __str__(self) -> str:
        """Its report in sentences."""
        return "\n".join(page.reward_summary({"reward_model": self.summary})) or repr(self)
