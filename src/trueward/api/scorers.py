"""Scorers from Python: a name, a function, a fitted reward model, each as the scorer that the pipeline knows."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trueward.api.learned_reward import LearnedReward
from trueward.pipeline.scorer_factory import ScorerFactory
from trueward.records import Prompt
from trueward.scorers import scorer_spec
from trueward.scorers.custom import FunctionScorer
from trueward.scorers.scorer import Scorer


def as_scorer(name: str, scorer: Any, factory: ScorerFactory) -> Scorer:
    """name: what tables and errors call it. scorer: a function from a list of Completions to numbers or Scores, a reward model
    of `trueward.fit_reward_model`, or a name: `verifier:NAME`, `model:DIRECTORY`, `module:function`, `length`, `judge`; with
    options as on the command line, `verifier:constraints,max_words=12`."""
    if isinstance(scorer, LearnedReward):
        return scorer.proxy
    if isinstance(scorer, str):
        return factory.specified(scorer_spec.parse(scorer, name), name)
    if callable(scorer):
        return FunctionScorer(name, scorer)
    raise ValueError(
        f"{name}: expected a function of completions, a reward model or a scorer's name, got {type(scorer).__name__}"
    )


def require_columns(scorers: Mapping[str, Scorer], prompts: Sequence[Prompt], where: str) -> None:
    """`ValueError` if a function needs a column that no row of the prompts has."""
    for name, scorer in scorers.items():
        if isinstance(scorer, FunctionScorer):
            scorer.check(prompts, f"{where}: {name}")


def named_scorers(scorers: Any, where: str) -> dict[str, Any]:
    """Scorers by name, from a mapping or from one scorer or a list, which are then called by their own names."""
    if scorers is None:
        return {}
    if not isinstance(scorers, Mapping):
        scorers = {(scorer if isinstance(scorer, str) else _name(scorer)): scorer for scorer in _listed(scorers)}
    if not all(isinstance(name, str) and name for name in scorers):
        raise ValueError(f"{where}: expected scorers by name, as {{'truth': my_scorer}}")
    return dict(scorers)


def identity(value: Any, where: str, out: str | Path | None) -> str:
    """What a stage's digest holds of a function or a name. With `out` a function's source has to be there to be compared."""
    if isinstance(value, str):
        return value
    if isinstance(value, LearnedReward):
        return value.made.digest
    function = value if inspect.isroutine(value) else type(value)
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        if out is not None:
            raise ValueError(
                f"{where}: out=: the source of {_name(value)} can't be read, so a later call could not tell whether it is the "
                "same function; define it in a file or a notebook's cell, or leave out= away"
            ) from None
        source = repr(value)
    return hashlib.sha256(source.encode("utf-8", "surrogatepass")).hexdigest()


def _listed(scorers: Any) -> list[Any]:
    return list(scorers) if isinstance(scorers, list | tuple) else [scorers]


def _name(scorer: Any) -> str:
    return str(getattr(scorer, "__name__", type(scorer).__name__))
