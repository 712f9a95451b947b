"""A user's own scorer, named `module:function`: any function from completions to numbers or `Score`s."""

from __future__ import annotations

import copy
import math
import numbers
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from trueward.records import Completion, Prompt, Score
from trueward.scorers import own_module
from trueward.scorers.scorer import ABSTAINED, Scorer
from trueward.scorers.user_function import Columns, UserFunction, described

TRIED = " This is an answer."
PREFIXES = ("people", "judge", "model", "verifier", "reasoning-gym")


class FunctionScorer:
    """A function as a scorer. `ValueError` if it raises, or returns anything but one finite score a completion, or None.

    None abstains: the score is `neutral`, or the mean of the others in the call if that isn't known, with the part `abstained`.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        columns: Columns | None = None,
        neutral: float | None = None,
    ) -> None:
        """name: as errors call it, `module:function`. function: from n completions to n numbers, `Score`s or Nones, in
        trueward's form or TRL's. columns: of the prompts' rows, for the latter. neutral: the score that stands for None."""
        self.name, self.neutral = name, neutral
        self.function = UserFunction(name, function, columns or {})
        self.bounds = getattr(function, "bounds", None)
        """The lowest and the highest score, if the function has an attribute of this name."""
        self.deterministic = bool(getattr(function, "deterministic", False))
        """Whether the function says so, by an attribute of this name (`scorer.is_deterministic`)."""

    def __str__(self) -> str:
        """Its name, as errors call it."""
        return self.name

    def check(self, prompts: Sequence[Prompt], where: str) -> None:
        """`ValueError` if it can't be called for these prompts. where: what the error calls the setting."""
        self.function.check(prompts, where)

    def try_out(self, prompts: Sequence[Prompt]) -> None:
        """Call it once, with a made-up answer to each of two prompts: what it does wrong is then known before training."""
        self([Completion(prompt=prompt, response=TRIED) for prompt in prompts[:2]])

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion, in order."""
        values = self.function(completions)
        if isinstance(values, str | bytes | dict) or not hasattr(values, "__iter__"):
            raise ValueError(f"{self.name} returned {_kind(values)}; expected a list of numbers or of Scores")
        scored = [None if value is None else self._score(value, i) for i, value in enumerate(values)]
        if len(scored) != len(completions):
            raise ValueError(
                f"{self.name} returned {len(scored)} scores for {len(completions)} completions; expected one each"
            )
        spoken = [score.score for score in scored if score]
        neutral = self.neutral if self.neutral is not None else sum(spoken) / max(1, len(spoken))
        return [score or Score(score=neutral, parts={ABSTAINED: 1.0}, note="abstained") for score in scored]

    def _score(self, value: Any, at: int) -> Score:
        if isinstance(value, Score):
            score = value
        elif isinstance(value, numbers.Real) or (hasattr(value, "item") and getattr(value, "ndim", 1) == 0):
            score = Score(score=float(value))
        else:
            raise ValueError(f"{self.name} returned {_kind(value)} for completion {at}; expected a number or a Score")
        if not all(math.isfinite(x) for x in (score.score, *score.parts.values())):
            raise ValueError(f"{self.name} returned a score that is not a finite number for completion {at}")
        return score


class CustomScorer(FunctionScorer):
    """The function that `module:function` names, as a scorer."""

    def __init__(self, name: str, columns: Columns | None = None) -> None:
        super().__init__(name, function_of(name), columns)


def with_neutral(scorer: Scorer, neutral: float | None) -> Scorer:
    """The scorer, if it's a function of the user's one that gives this score where it abstains; another as it is."""
    if neutral is None or not isinstance(scorer, FunctionScorer):
        return scorer
    known = copy.copy(scorer)
    known.neutral = neutral
    return known


def is_custom(name: str) -> bool:
    """Whether a name has the form `module:function` and the module is none of the reserved prefixes (`PREFIXES`)."""
    module, colon, function = name.partition(":")
    return (
        bool(colon)
        and module not in PREFIXES
        and function.isidentifier()
        and all(p.isidentifier() for p in module.split("."))
    )


def source(name: str) -> list[Path]:
    """The file that holds the function, for the fingerprint of a stage; empty if it has no file."""
    file = own_module.file_of(name.partition(":")[0])
    return [file] if file else []


def function_of(name: str, expected: str = "a function") -> Any:
    """The object that `module:name` names, imported from the current directory or PYTHONPATH.

    expected: what errors call it; with "a function" it has to be callable. `ValueError` in one line if it can't be imported.
    """
    module, _, attribute = name.partition(":")
    try:
        function = getattr(own_module.load(module), attribute)
    except ModuleNotFoundError as error:
        if error.name != module and not module.startswith(f"{error.name}."):
            raise ValueError(f"{name}: {module} can't be imported: {error}") from None
        raise ValueError(
            f"{name}: there is no module {module}; it is searched in the current directory and on PYTHONPATH"
        ) from None
    except AttributeError:
        raise ValueError(f"{name}: the module {module} has no {attribute}") from None
    except Exception as error:  # whatever a user's module does when it's imported, the line says which one it was
        raise ValueError(f"{name}: {module} can't be imported: {described(error)}") from error
    if expected == "a function" and not callable(function):
        raise ValueError(f"{name}: expected a function, got {_kind(function)}")
    return function


def _kind(value: Any) -> str:
    return "None" if value is None else f"{'an' if type(value).__name__[0] in 'aeiou' else 'a'} {type(value).__name__}"
