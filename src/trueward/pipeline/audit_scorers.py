"""The scorers of an audit by name: columns of the files, programs, reward models, functions of the user's, a run's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trueward.artifacts import expanded
from trueward.records import Completion

if TYPE_CHECKING:
    from trueward.pipeline.scorer_factory import ScorerFactory
    from trueward.scorers.scorer import Scorer

COLUMN = "column:"
PROGRAMS = (
    "verifier:NAME, module:function, file.py:function, model:DIRECTORY, judge,model=NAME, judge:RECIPE.toml:NAME or "
    "length"
)
EXPECTED = f"a column of the files, {PROGRAMS}"


@dataclass
class AuditScorer:
    """A proxy or truth: columns of the files (`scorer` is None), or a scorer, which reads each answer once."""

    name: str
    scorer: Scorer | None = None
    columns: tuple[str, ...] = ()
    """Whose sum it is; empty for a scorer."""
    known: dict[tuple[str, str, str, bool], float] = field(default_factory=dict, repr=False)
    abstained: int = 0
    """Answers of which it said nothing."""

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The lowest and the highest score that there can be, where that is known."""
        if self.scorer is None:
            return None
        from trueward.scorers.scorer import bounds

        return bounds(self.scorer)

    def __call__(self, completions: Sequence[Completion]) -> np.ndarray:
        """The scores of completions, [n]; NaN where the scorer abstains."""
        assert self.scorer is not None
        keys = [(c.prompt.id, c.prompt.answer, c.response, c.finished) for c in completions]
        new = {key: c for key, c in zip(keys, completions, strict=True) if key not in self.known}
        if new:
            for key, value in zip(new, self._score(list(new.values())), strict=True):
                self.known[key] = value
        return np.array([self.known[key] for key in keys], dtype=np.float64)

    def _score(self, completions: list[Completion]) -> list[float]:
        from trueward.scorers.custom import FunctionScorer
        from trueward.scorers.judge.rating import FAILED
        from trueward.scorers.scorer import ABSTAINED
        from trueward.scorers.verifiers.verifier import Verifier

        assert self.scorer is not None
        if isinstance(self.scorer, FunctionScorer):
            self.scorer.check([c.prompt for c in completions], self.name)
        if isinstance(self.scorer, Verifier):
            self.scorer.check_keys([c.prompt for c in completions], self.name)
        scored = self.scorer(completions)
        silent = [ABSTAINED in score.parts or bool(score.parts.get(FAILED)) for score in scored]
        self.abstained += sum(silent)
        given = [score.score for score, no in zip(scored, silent, strict=True) if not no]
        if (ends := self.bounds) and (wrong := [score for score in given if not ends[0] <= score <= ends[1]]):
            raise ValueError(f"{self.name} scored {wrong[0]:g}, outside of its bounds, {ends[0]:g} to {ends[1]:g}")
        return [float("nan") if no else score.score for score, no in zip(scored, silent, strict=True)]


def named(
    option: str, name: str, columns: Sequence[str], make: Callable[[str], Scorer] | None = None, scorer: Any = None
) -> AuditScorer:
    """The proxy or truth of that name: a column if the files have one of this name, else a scorer.

    option: what errors call it. make: makes the scorer of another name; by default `program`. scorer: a function of the
    caller's, which the name is for.
    """
    if scorer is not None:
        from trueward.scorers.custom import FunctionScorer

        return AuditScorer(name, FunctionScorer(name, scorer))
    if name.startswith(COLUMN) or name in columns:
        return AuditScorer(name.removeprefix(COLUMN), columns=(name.removeprefix(COLUMN),))
    if (
        make is None
        and ":" not in name
        and name.partition(",")[0] not in ("length", "judge")
        and not Path(name).is_file()
    ):
        there = f" (columns of scores: {', '.join(columns)})" if columns else ""
        raise ValueError(f"{option} {name}: expected {EXPECTED}{there}")
    return AuditScorer(name, make(name) if make else program(option, name))


def program(option: str, name: str, device: Any = None, factory: ScorerFactory | None = None) -> Scorer:
    """The scorer of a name, on its own scale. `ValueError` in one line that begins with the option.

    factory: of the run that the name belongs to; None: it belongs to none.
    """
    from trueward.models import loading
    from trueward.pipeline.scorer_factory import ScorerFactory
    from trueward.scorers import scorer_spec
    from trueward.training.env import Env

    module, _, function = name.rpartition(":")
    if module.endswith(".py"):
        return function_in_file(option, module, function)
    spec = scorer_spec.parse(name, option)
    factory = factory or ScorerFactory(Env(device or loading.pick_device("auto")))
    return factory.specified(spec, f"{option} {name}")


def function_in_file(option: str, file: str, function: str) -> Scorer:
    """The function of a Python file as a scorer: `rewards.py:f`. `ValueError` in one line if there is none."""
    from trueward.scorers import own_file, own_module
    from trueward.scorers.custom import FunctionScorer
    from trueward.scorers.user_function import described

    path, name = expanded(file), f"{option} {file}:{function}"
    if not path.is_file():
        raise ValueError(f"{name}: there is no such file")
    own_module.search_here()
    try:
        module = own_file.module_in(path)
    except Exception as error:
        raise ValueError(f"{name}: the file can't be imported: {described(error, str(path))}") from error
    value = getattr(module, function, None)
    if not callable(value):
        known = [key for key, one in vars(module).items() if callable(one) and not key.startswith("_")]
        raise ValueError(f"{name}: the file has no function {function}; it has {', '.join(known) or 'none'}")
    return FunctionScorer(f"{file}:{function}", value)


def same(proxy: AuditScorer | None, truths: Sequence[AuditScorer]) -> str:
    """That a truth is the proxy itself, in a sentence; empty if none is."""
    twice = [truth.name for truth in truths if proxy and proxy.name == truth.name]
    return f"truth = proxy: {twice[0]} is both, so nothing here is independent of the reward" if twice else ""


def unpacked(scorers: Mapping[str, Any] | Sequence[Any] | Any) -> dict[str, Any]:
    """Scorers as Python users give them, by name: strings stand for themselves (None), functions under their names."""
    if isinstance(scorers, Mapping):
        return {name: None if value == name else value for name, value in scorers.items()}
    listed = list(scorers) if isinstance(scorers, list | tuple) else [scorers]
    return {
        (one if isinstance(one, str) else getattr(one, "__name__", type(one).__name__)): None
        if isinstance(one, str)
        else one
        for one in listed
    }
