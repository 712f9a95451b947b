"""The nouns that cross disk and database: text, numbers and where they came from. No tensors here."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

ASSISTANT = "assistant"


class Record(BaseModel):
    """The base of all records: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Record):
    """One turn of a conversation."""

    role: str = Field(min_length=1)
    content: str


class Prompt(Record):
    """What is answered: plain text, or the messages of a conversation (then `text` is empty).

    `answer` is the answer key: what a verifier compares with. No policy and no reward model reads it, and it is no part
    of the prompt's id. What is not a text stands there as JSON. `tools` are the functions that a chat template offers the
    model, as JSON schemas; `columns` are further values of its row, for scorers, and no part of the id either.
    """

    text: str = ""
    messages: tuple[Message, ...] = ()
    answer: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    columns: dict[str, Any] = {}

    @model_validator(mode="after")
    def _one_of_both(self) -> Prompt:
        if bool(self.text) == bool(self.messages):
            raise ValueError("a prompt is either a text or a list of messages, and not empty")
        return self

    @property
    def id(self) -> str:
        """The same 12 characters for the same prompt, everywhere: splits are made by it."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:12]

    def as_json(self) -> str:
        """The prompt as JSON: text or messages, and tools if there are any."""
        return self.model_dump_json(include={"text", "messages", *(["tools"] if self.tools else [])})

    def __hash__(self) -> int:
        """Equal prompts have equal hashes; what a dict holds has none."""
        return hash((self.text, self.messages, self.answer))

    def __str__(self) -> str:
        """The prompt as a person reads it."""
        return self.text or "\n".join(f"{m.role}: {m.content}" for m in self.messages)


class Demonstration(Record):
    """A prompt with the answer somebody wrote."""

    prompt: Prompt
    response: str = Field(min_length=1)


class Completion(Record):
    """A prompt with one response. `finished`: it ended by itself, with end-of-sequence, and was not cut."""

    prompt: Prompt
    response: str
    finished: bool = True


class Response(Record):
    """One side of a comparison."""

    id: str = Field(min_length=1)
    text: str
    finished: bool = True


class Comparison(Record):
    """One prompt, two responses, an outcome, and where it came from.

    `probability` is that of the first response being the better one: 1 or 0 for a choice, .5 for a tie, anything
    between for a soft label. `strength` is 1 to 3 where the annotator gave one. `source` is where it came from, and
    `annotator` which person or judge, where that is known. `group` ties the pairs of one ranking together. `check`
    is the known winner of a check pair, which tests the annotators.
    """

    prompt: Prompt
    first: Response
    second: Response
    probability: float = Field(ge=0, le=1)
    strength: Literal[1, 2, 3] | None = None
    source: str = Field(min_length=1)
    annotator: str | None = Field(None, min_length=1)
    group: str | None = Field(None, min_length=1)
    check: Literal["first", "second"] | None = None

    @model_validator(mode="after")
    def _distinct(self) -> Comparison:
        if (self.first.text, self.first.finished) == (self.second.text, self.second.finished):
            raise ValueError("the two responses are identical")
        return self

    @property
    def pair(self) -> tuple[Prompt, tuple[str, bool], tuple[str, bool]]:
        """What is compared, whatever the order: the prompt, the response that sorts lower, the other one."""
        low, high = sorted((side.text, side.finished) for side in (self.first, self.second))
        return self.prompt, low, high

    @property
    def for_lower(self) -> float:
        """How probable it is that the response of `pair` that sorts lower is the better one."""
        is_first = (self.first.text, self.first.finished) < (self.second.text, self.second.finished)
        return self.probability if is_first else 1 - self.probability

    def completions(self) -> tuple[Completion, Completion]:
        """Both sides as completions, the first one first."""
        return tuple(  # type: ignore[return-value]
            Completion(prompt=self.prompt, response=side.text, finished=side.finished)
            for side in (self.first, self.second)
        )


class Score(Record):
    """A scorer's result for one completion: the score, its parts by name, its cost (a judge's prices set the unit), a note."""

    score: float
    parts: dict[str, float] = {}
    cost: float = 0.0
    note: str = ""


Verdict = Score  # its name in 0.1: scorers of users return it


def response_id(prompt: Prompt, text: str) -> str:
    """An id for a response that came without one."""
    return hashlib.sha256(f"{prompt.id}\0{text}".encode()).hexdigest()[:12]


def line(record: Record) -> dict[str, Any]:
    """A record as one object of a JSONL file, defaults left out."""
    return record.model_dump(mode="json", exclude_defaults=True)
