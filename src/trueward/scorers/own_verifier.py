"""A function of the user's as a verifier, for the self-test: `trueward verifiers test module:function`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trueward.data import loading
from trueward.data.options import ReadOptions
from trueward.records import Completion, Prompt, Score
from trueward.scorers import custom, own_file
from trueward.scorers.custom import CustomScorer, FunctionScorer
from trueward.scorers.scorer import bounds
from trueward.scorers.verifiers.verifier import Options, Verifier

QUESTIONS = ("What is the capital of Australia?", "How many minutes are there in three hours?")
"""What a function is asked about where no prompts are given."""


class OwnVerifier(Verifier[Options]):
    """A function of the user's as a verifier: the highest of its `bounds` or more is right, the lowest or less is wrong.

    Without bounds these are 1 and 0. Whatever lies between stays as it is, and is neither.
    """

    summary = "a function of your own"

    def __init__(self, scorer: FunctionScorer) -> None:
        super().__init__(Options())
        self.scorer, self.ends = scorer, bounds(scorer) or (0.0, 1.0)
        self.deterministic = scorer.deterministic  # type: ignore[misc]  # of the class, in every other one

    @property
    def keyed(self) -> bool:
        """It may know what is right by itself."""
        return False

    def right(self, answer: str) -> str | None:
        """The key as it stands."""
        return answer or None

    def judge(self, response: str, answer: str) -> Score:
        """The function's score of a response to no prompt."""
        return self.scorer([Completion(prompt=Prompt(text="?", answer=answer), response=response)])[0]

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """The function's scores; those at an end as 0 or 1."""
        low, high = self.ends
        scores = self.scorer(completions)
        return [
            s.model_copy(update={"score": 0.0 if s.score <= low else 1.0 if s.score >= high else s.score})
            for s in scores
        ]


def is_own(name: str) -> bool:
    """Whether a name is `module:function` or `FILE.py:function`."""
    return custom.is_custom(name) or own_file.is_in_file(name)


def read(name: str, prompts: str, options: dict[str, Any]) -> tuple[list[Prompt], Verifier[Any]]:
    """The prompts and the verifier of a function of the user's. Prompts without keys test what has to score 0 alone."""
    if options:
        raise ValueError(f"{name} is a function of your own, and takes no options")
    if own_file.is_in_file(name):
        scorer = FunctionScorer(name, own_file.function_in(name))
    else:
        custom.source(name)  # a module that was edited since it was imported is imported again
        scorer = CustomScorer(name)
    keep = ReadOptions(keep=True)  # a function of TRL's form is handed the rows' other columns
    tested = loading.prompts(prompts, options=keep).rows if prompts else [Prompt(text=text) for text in QUESTIONS]
    scorer.check(tested, "verifiers test")
    return tested, OwnVerifier(scorer)
