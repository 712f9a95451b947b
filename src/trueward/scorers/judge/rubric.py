"""A judge that rates an answer by the criteria of its own prompt: a rubric, one question for each criterion."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trueward.records import Completion, Prompt, Score
from trueward.scorers.judge.llm_judge import LlmJudge
from trueward.scorers.judge.rating import FAILED
from trueward.scorers.user_function import Columns

MOST = 20  # criteria of a prompt
FORM = '[{"criterion": "Names the film.", "weight": 2, "name": "film"}, …]'


@dataclass(frozen=True)
class Criterion:
    """What an answer is rated by; tables call it by its name, its text if it has none."""

    text: str
    weight: float = 1.0
    name: str = ""

    @property
    def label(self) -> str:
        """Its name in tables."""
        return self.name or self.text


def read_criteria(value: Any, where: str) -> tuple[Criterion, ...]:
    """The criteria in a row's column: a list of texts, or of objects with `criterion`, `weight` and `name`.

    `ValueError` in one line; where: what it calls the column.
    """
    if not isinstance(value, list) or not 0 < len(value) <= MOST:
        raise ValueError(f"{where}: expected a list of 1 to {MOST} criteria, {FORM}, got {str(value)[:60]!r}")
    found = []
    for i, row in enumerate(value):
        row = {"criterion": row} if isinstance(row, str) else row
        text = row.get("criterion") if isinstance(row, Mapping) else None
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"{where}: criterion {i + 1}: expected a text, as in {FORM}, got {str(row)[:60]!r}")
        weight, name = row.get("weight", 1.0), row.get("name", "")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < math.inf:
            raise ValueError(f"{where}: criterion {i + 1}: weight: expected a number above 0, got {weight!r}")
        if not isinstance(name, str):
            raise ValueError(f"{where}: criterion {i + 1}: name: expected a text, got {name!r}")
        found.append(Criterion(text.strip(), float(weight), name.strip()))
    labels = [criterion.label for criterion in found]
    if twice := next((label for label in labels if labels.count(label) > 1), ""):
        raise ValueError(f"{where}: two criteria are called {twice[:60]!r}; give them names")
    return tuple(found)


@dataclass
class RubricScorer:
    """The mean of an answer's ratings by its prompt's criteria, by their weights; the part `failed` where one is missing."""

    judge: LlmJudge
    column: str
    columns: Columns
    known: dict[tuple[str, str], dict[str, float]] = field(default_factory=dict, repr=False)
    """Each answer's rating by criterion, by the prompt's id and the text."""

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest score."""
        return 1.0, float(len(self.judge.settings.ratings))

    def criteria(self, prompt: Prompt) -> tuple[Criterion, ...]:
        """The criteria of a prompt; empty if its row has none. `ValueError` for what is none."""
        row = prompt.columns or self.columns.get(prompt.whole or prompt.id, {})
        value = row.get(self.column)
        return () if value is None else read_criteria(value, f"the prompt {str(prompt)[:40]!r}: {self.column}")

    def check(self, prompts: Iterable[Prompt], where: str) -> None:
        """`ValueError` if a prompt's criteria can't be read, or none has any. where: what errors call the judge."""
        try:
            some = [prompt for prompt in prompts if self.criteria(prompt)]
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        if not some:
            raise ValueError(f"{where}: no row of the prompts has a column {self.column!r} with criteria, {FORM}")

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion."""
        wanted = [self.criteria(c.prompt) for c in completions]
        flat = [(c, criterion) for c, own in zip(completions, wanted, strict=True) for criterion in own]
        rated = iter(self.judge.rate([c for c, _ in flat], [(criterion.text,) for _, criterion in flat]))
        return [self._score(c, own, [next(rated) for _ in own]) for c, own in zip(completions, wanted, strict=True)]

    def _score(self, completion: Completion, criteria: Sequence[Criterion], rated: Sequence[Any]) -> Score:
        values = {criterion.label: r.value for criterion, r in zip(criteria, rated, strict=True) if r.value is not None}
        self.known[(completion.prompt.id, completion.response)] = values
        cost = sum(r.cost for r in rated)
        if not criteria or len(values) < len(criteria):
            why = next((r.wrong for r in rated if r.wrong), "the prompt has no criteria")
            self.judge.failure = why
            return Score(score=0.0, parts={FAILED: 1.0}, cost=cost, note=f"no judgement: {why}")
        weights = [criterion.weight for criterion in criteria]
        return Score(score=float(np.average(list(values.values()), weights=weights)), parts={FAILED: 0.0}, cost=cost)

    def ratings(self, completions: Sequence[Completion]) -> dict[str, np.ndarray]:
        """What answers that were scored had by each criterion, [n]; NaN where it wasn't asked or has no answer."""
        rows = [self.known.get((c.prompt.id, c.response), {}) for c in completions]
        labels = dict.fromkeys(label for row in rows for label in row)
        return {label: np.array([row.get(label, np.nan) for row in rows]) for label in labels}
