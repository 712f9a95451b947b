"""A mixture of scorers: a weighted sum, and gates that an answer has to pass first. Every part is logged on its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trueward.records import Completion, Score
from trueward.scorers.scorer import ABSTAINED, Scorer, is_deterministic
from trueward.scorers.verifiers.constraints import words


@dataclass(frozen=True)
class Ingredient:
    """One scorer of a mixture. A gate is passed by a score of 1 or more, and adds nothing to the sum."""

    name: str
    scorer: Scorer
    weight: float = 1.0
    gate: bool = False


class Mix:
    """Σ weight·score over the parts that are not gates; `floor` for an answer that does not pass all gates.

    A part that abstains adds nothing, and a gate that abstains is open. If all parts do, the mixture abstains: `neutral`.
    """

    def __init__(self, ingredients: Sequence[Ingredient], floor: float, neutral: float | None = None) -> None:
        """floor: the score of an answer that fails a gate. neutral: of one from which all parts abstain; None: 0."""
        self.ingredients, self.floor, self.neutral = tuple(ingredients), floor, neutral

    @property
    def deterministic(self) -> bool:
        """As all ingredients; the length counts as one that is."""
        return all(i.scorer is length or is_deterministic(i.scorer) for i in self.ingredients)

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion; its parts are every ingredient's score and that one's own parts."""
        columns = [ingredient.scorer(completions) for ingredient in self.ingredients]
        return [self._sum([column[i] for column in columns]) for i in range(len(completions))]

    def _sum(self, verdicts: Sequence[Score]) -> Score:
        parts: dict[str, float] = {}
        total, shut, spoken = 0.0, [], False
        for ingredient, verdict in zip(self.ingredients, verdicts, strict=True):
            if ABSTAINED in verdict.parts:
                parts[f"{ingredient.name}.{ABSTAINED}"] = 1.0
                continue
            parts[ingredient.name] = verdict.score
            parts |= {f"{ingredient.name}.{name}": value for name, value in verdict.parts.items()}
            if not ingredient.gate:
                total, spoken = total + ingredient.weight * verdict.score, True
            elif verdict.score < 1.0:
                shut.append(ingredient.name)
        if not shut and not spoken:
            total, parts = self.neutral or 0.0, {**parts, ABSTAINED: 1.0}
        note = f"did not pass {', '.join(shut)}" if shut else "; ".join(v.note for v in verdicts if v.note)
        return Score(score=self.floor if shut else total, parts=parts, cost=sum(v.cost for v in verdicts), note=note)


def length(completions: Sequence[Completion]) -> list[Score]:
    """The number of words of each answer as its score: a negative weight makes it a penalty by the word."""
    return [Score(score=float(len(words(c.response)))) for c in completions]
