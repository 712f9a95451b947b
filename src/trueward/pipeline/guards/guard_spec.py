"""A guard as [evaluation] names it: `verifier:NAME`, `lm-eval:TASK` or `inspect:TASK`, with options after commas."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from trueward.artifacts import expanded
from trueward.config import Recipe
from trueward.data import loading as texts
from trueward.data.options import ReadOptions
from trueward.extras import is_installed, missing
from trueward.models.tabular import is_tabular
from trueward.records import Prompt
from trueward.scorers import scorer_spec
from trueward.scorers.verifiers import catalogue
from trueward.scorers.verifiers.verifier import Verifier

WHERE = "evaluation.guards"
LIMIT = "limit"


class Suite(NamedTuple):
    """What another project's suite is imported as, the extra that brings it, and the options that it takes here."""

    module: str
    extra: str
    options: dict[str, type]


SUITES = {
    "lm-eval": Suite(
        "lm_eval",
        "lm-eval",
        {
            "metric": str,
            "filter": str,
            "num_fewshot": int,
            "include_path": str,
            "batch_size": int,
            "apply_chat_template": bool,
        },
    ),
    "inspect": Suite(
        "inspect_ai",
        "inspect",
        {"scorer": str, "metric": str, "args": dict, "epochs": int, "max_tokens": int},
    ),
}


@dataclass(frozen=True)
class GuardSpec:
    """A guard: its name as the recipe has it, what runs it, the verifier or task, and its options.

    prompts: a verifier's own prompts, a file; empty: the run's held-out ones. limit: items at most, if it has its own.
    """

    name: str
    kind: str
    task: str
    options: dict[str, Any] = field(default_factory=dict)
    prompts: str = ""
    limit: int | None = None

    def verifier(self) -> Verifier[Any]:
        """The verifier. `ValueError` in one line if there is none, or for its options."""
        where = f"{WHERE}: {self.name}"
        try:
            return catalogue.make(self.task, self.options, where)
        except ValueError as error:
            raise ValueError(_placed(where, error)) from None

    def own_prompts(self) -> list[Prompt]:
        """The prompts of the file `prompts`. `ValueError` in one line if they can't be read."""
        try:
            return list(texts.prompts(self.prompts, options=ReadOptions(in_recipe=True, keep=True)).rows)
        except (ValueError, OSError) as error:
            raise ValueError(_placed(f"{WHERE}: {self.name}", error)) from None

    @property
    def files(self) -> list[Path]:
        """Files that its results depend on, as far as they are known: of prompts, of tasks."""
        if self.kind == "verifier":
            places = [self.prompts]
        else:
            task = self.task.partition("@")[0]
            places = [task if Path(task).suffix else "", str(self.options.get("include_path", ""))]
        found = [expanded(place) for place in places if place]
        inside = [file for place in found if place.is_dir() for file in place.rglob("*.yaml")]
        return sorted([place for place in found if place.is_file()] + inside)


def read(text: str) -> GuardSpec:
    """The guard that a text names. `ValueError` in one line for an option that it doesn't have."""
    spec = scorer_spec.parse(text, WHERE)
    kind, _, task = spec.name.partition(":")
    if kind not in ("verifier", *SUITES) or not task:
        raise ValueError(f"{WHERE}: expected verifier:NAME, lm-eval:TASK or inspect:TASK, got {text!r}")
    options = dict(spec.options)
    limit, prompts = options.pop(LIMIT, None), ""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ValueError(f"{WHERE}: {text}: limit: expected a whole number above 0, got {limit!r}")
    if kind == "verifier":
        prompts = str(options.pop("prompts", ""))
        return GuardSpec(text, kind, task, options, prompts, limit)
    takes = SUITES[kind].options
    for key, value in options.items():
        if key not in takes:
            raise ValueError(f"{WHERE}: {text}: {kind} has no option {key}; it has {', '.join((*takes, LIMIT))}")
        if type(value) is not takes[key]:
            raise ValueError(f"{WHERE}: {text}: {key}: expected {_called(takes[key])}, got {value!r}")
    return GuardSpec(text, kind, task, options, prompts, limit)


def read_all(names: Sequence[str]) -> list[GuardSpec]:
    """The guards of these names."""
    return [read(name) for name in names]


def check_guards(recipe: Recipe, prompts: Sequence[Prompt]) -> None:
    """`ValueError` in one line for a guard that can't be run, before anything is trained. prompts: of the recipe.

    That is a package that isn't there, a verifier with options that it doesn't have or prompts without an answer key, a file
    that can't be read. What only the suite itself can tell, it tells when it is run on the SFT policy.
    """
    for spec in read_all(recipe.evaluation.guards):
        where = f"{WHERE}: {spec.name}"
        if spec.kind == "verifier":
            verifier = spec.verifier()
            verifier.check_keys(spec.own_prompts() if spec.prompts else prompts, where)
            continue
        suite = SUITES[spec.kind]
        if not is_installed(suite.module):
            raise missing(f"{where} needs {suite.module.replace('_', '-')}", suite.extra)
        for model in (recipe.model.base, recipe.sft.model):
            if model == "trueward:nano" or (model and is_tabular(Path(model))):
                raise ValueError(f"{where}: {model} is a table, which no suite can load; guard it by a verifier")


def _placed(where: str, error: Exception) -> str:
    """An error's line, with the guard that it is about."""
    text = str(error)
    return text if text.startswith(where) else f"{where}: {text}"


def _called(kind: type) -> str:
    return {str: "a text", int: "a whole number", bool: "true or false", dict: "a table, as in {key = 1}"}[kind]
