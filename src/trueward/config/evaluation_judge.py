"""[[evaluation.judge]]: a judge as a truth, of any number: which model, how it is asked, how many calls it may make."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from trueward.config.judge import JudgeConfig, Word
from trueward.config.section import NonNegative, Positive, Section

PREFIX = "judge:"
"""Of a judge's name among `evaluation.truths`."""
ELSEWHERE = {
    "base_url": "endpoint",
    "api_key_env": "key",
    "api_key": "key, the name of an environment variable that holds it",
}


class EvaluationJudgeConfig(Section):
    """[[evaluation.judge]]: a judge that training never sees; among the truths it is `judge:NAME`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """What it is called in tables and among the truths."""
    mode: Literal["pairwise", "pointwise", "grouped"] = "pairwise"
    """pairwise: the policy's answer beside SFT's, both orders; pointwise: a rating; grouped: a ranking among SFT's answers."""
    model: str = Field(min_length=1)
    """As in [judge]; and so the fields below that have its names."""
    endpoint: str = ""
    key: str = Field("", pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")
    """Environment variable that holds its API key; empty: that of runtime.judge.key."""
    principles: Annotated[tuple[Word, ...], Field(min_length=1)] = JudgeConfig().principles
    draw: Literal["one", "all"] = "one"
    question: str = ""
    choices: Annotated[tuple[Word, ...], Field(min_length=2, max_length=2)] = JudgeConfig().choices
    rating: str = ""
    ratings: Annotated[tuple[Word, ...], Field(min_length=2)] = JudgeConfig().ratings
    reasons: Annotated[int, Field(ge=0)] = 0
    temperature: NonNegative = 0.0
    logprobs: bool = True
    certainty: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    rubric: str = ""
    """With mode = "pointwise": the column of the prompts' rows that holds their criteria and weights; empty: principles."""
    cap: Positive | None = None
    """Calls that it may make in a run, those that the cache answers aside; above it answers are not judged, and counted."""

    @model_validator(mode="before")
    @classmethod
    def _own_names(cls, table: Any) -> Any:
        other = next((key for key in ELSEWHERE if isinstance(table, dict) and key in table), None)
        if other:
            raise ValueError(f"{other} is called {ELSEWHERE[other]} here")
        return table

    @model_validator(mode="after")
    def _can_be_asked(self) -> EvaluationJudgeConfig:
        try:
            self.settings()
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{field}: " * bool(field) + first["msg"].removeprefix("Value error, ")) from None
        if self.rubric and self.mode != "pointwise":
            raise ValueError(
                f'rubric: criteria are rated one by one, so it needs mode = "pointwise", not {self.mode!r}'
            )
        if self.mode == "grouped" and self.question:
            raise ValueError('question: two answers are asked about; with mode = "grouped" the question is a fixed one')
        if self.mode == "grouped" and not self.endpoint:
            raise ValueError("mode: a model that runs here writes no ranking, its log-probs are read; give `endpoint`")
        return self

    @property
    def truth(self) -> str:
        """Its name among the truths."""
        return PREFIX + self.name

    @property
    def orders(self) -> int:
        """Calls for each answer and principle: two orders, or one rating."""
        return 1 if self.mode == "pointwise" else 2

    def settings(self) -> JudgeConfig:
        """The same as a [judge]; it never ends a run, however many of its answers are missing."""
        own = {name: getattr(self, name) for name in JudgeConfig.model_fields if name in type(self).model_fields}
        return JudgeConfig(**own, max_failed=0.1)


def without_keys(evaluation: dict[str, Any]) -> dict[str, Any]:
    """The table of [evaluation] without the names of keys, on which no result depends."""
    if not isinstance(evaluation.get("judge"), list):
        return evaluation
    return {**evaluation, "judge": [{k: v for k, v in row.items() if k != "key"} for row in evaluation["judge"]]}
