"""The base class of verifiers: scorers with an answer key, options, and examples for the self-test."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from trueward.records import Completion, Prompt, Score


class Options(BaseModel):
    """A verifier's options; unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


O = TypeVar("O", bound=Options)  # noqa: E741


class Verifier(ABC, Generic[O]):
    """Scores from 0 (wrong) to 1 (right). The empty answer and the echoed prompt score 0 with every verifier."""

    summary: ClassVar[str]
    """One line for `trueward verifiers list`."""
    options_type: ClassVar[type[Options]] = Options
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    """The lowest and the highest score."""
    unique: ClassVar[bool] = True
    """Whether a prompt has one right answer, so that two answers at once are wrong."""
    slow: ClassVar[bool] = False
    """Whether a score takes more than milliseconds: then the self-test uses fewer prompts."""
    deterministic: ClassVar[bool] = True
    """Whether it gives an answer the same score in every process (`scorer.is_deterministic`)."""
    examples: ClassVar[tuple[Prompt, ...]] = ()
    example_options: ClassVar[dict[str, Any]] = {}
    """Prompts and options that `trueward verifiers test NAME` uses."""

    def __init__(self, options: O) -> None:
        """options: of the type `options_type`."""
        self.options = options

    @property
    def keyed(self) -> bool:
        """Whether every prompt needs an answer key."""
        return True

    def check(self, answer: str) -> None:
        """`ValueError` if this can't be an answer key."""
        if self.keyed and not answer.strip():
            raise ValueError('expected an answer key ("answer"), got none')

    def check_keys(self, prompts: Sequence[Prompt], where: str) -> None:
        """`ValueError` for the first prompt whose answer key can't be one. where: what the error calls the verifier."""
        for prompt in prompts:
            try:
                self.check(prompt.answer)
            except ValueError as error:
                raise ValueError(f"{where}: the prompt {str(prompt)[:60]!r}: {error}") from None

    @abstractmethod
    def judge(self, response: str, answer: str) -> Score:
        """The score of a response that is neither empty nor an echo of the prompt."""

    @abstractmethod
    def right(self, answer: str) -> str | None:
        """A response that has to score 1; None if none is known."""

    def wrong(self, answer: str) -> dict[str, str]:
        """Further responses that have to score 0, by what they try."""
        return {}

    def __call__(self, completions: Sequence[Completion]) -> list[Score]:
        """One score for each completion."""
        return [self.score(c) for c in completions]

    def score(self, completion: Completion) -> Score:
        """The score of one completion."""
        if reason := worthless(completion):
            return Score(score=0.0, note=reason)
        return self.judge(completion.response, completion.prompt.answer)


def worthless(completion: Completion) -> str:
    """Why a response scores 0 with every verifier: it is empty, or repeats the prompt; "" otherwise."""
    text, prompt = completion.response.strip(), completion.prompt
    if not text:
        return "empty"
    echoes = [str(prompt), *(message.content for message in prompt.messages[-1:])]
    return "the prompt, echoed" if text in [e.strip() for e in echoes] else ""


def passed(whether: bool, note: str = "") -> Score:
    """Score 1 without a note, or score 0 with it."""
    return Score(score=1.0 if whether else 0.0, note="" if whether else note)


def read_options(kind: type[Options], table: dict[str, Any], where: str) -> Any:
    """Options from a table of the recipe. `ValueError` in one line for the first mistake; where: what it calls the table."""
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join([where, *map(str, first["loc"])])
        if first["type"] == "extra_forbidden":
            known = ", ".join(kind.model_fields) or "none"
            raise ValueError(f"{field}: there is no such option; known: {known}") from None
        if first["type"] == "value_error":
            raise ValueError(f"{field}: {first['msg'].removeprefix('Value error, ')}") from None
        message = first["msg"][0].lower() + first["msg"][1:]
        raise ValueError(f"{field}: {message}, got {first['input']!r}") from None
