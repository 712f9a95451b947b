"""The nouns that cross disk and database: text, numbers and where they came from. No tensors here."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

ASSISTANT = "assistant"


class Record(BaseModel):
    """What all records share: they can't be changed, and have no fields but their own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Message(Record):
    """One turn of a conversation."""

    role: str = Field(min_length=1)
    """Who speaks: `system`, `user`, `assistant`, or any other role that the model's chat template knows."""
    content: str
    """What they say; may be empty where they call functions."""
    tool_calls: tuple[dict[str, Any], ...] = ()
    """Functions that the assistant calls, as chat templates take them: `{"type": "function", "function": {"name",
    "arguments"}}`, the arguments an object."""
    tool_call_id: str = ""
    """Of a function's result: the `id` of the call that it answers; empty if it has none."""
    name: str = ""
    """Of a function's result: the function's name; empty if it has none."""

    def __hash__(self) -> int:
        """Equal messages have equal hashes; what a dict holds has none."""
        return hash((self.role, self.content, self.tool_call_id, self.name))

    def __str__(self) -> str:
        """What they say, and call, as a person reads it."""
        functions = (call.get("function", call) for call in self.tool_calls)
        calls = (f"{f.get('name')}({json.dumps(f.get('arguments'), ensure_ascii=False)})" for f in functions)
        return "\n".join(part for part in (self.content, *calls) if part)

    @model_serializer(mode="wrap")
    def _without_empty(self, values: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in values(self).items() if value or name in ("role", "content")}


class Prompt(Record):
    """What is answered: plain text, or the messages of a conversation. `str(prompt)` is it as a person reads it.

    `ValueError` if both `text` and `messages` are given, or neither.
    """

    text: str = ""
    """The prompt as the model reads it, with nothing put around it; empty if there are messages."""
    messages: tuple[Message, ...] = ()
    """The conversation up to the answer, which goes through the model's chat template; empty if there is a text."""
    answer: str = ""
    """The answer key, which a verifier compares with: the row's column `answer`, as JSON if it is no string; empty if
    there is none. No policy and no reward model reads it, and it is no part of the prompt's id."""
    tools: tuple[dict[str, Any], ...] = ()
    """Functions that the chat template offers to the model, as JSON schemas."""
    columns: dict[str, Any] = {}
    """Further values by name, for scorers of your own: other columns of the row, or what you give. No model reads them,
    and they are no part of the prompt's id."""
    whole: str = ""
    """The id of the prompt as it was before it was cut (data.truncation); empty if it wasn't."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Prompt:
        if bool(self.text) == bool(self.messages):
            raise ValueError("a prompt is either a text or a list of messages, and not empty")
        return self

    @property
    def id(self) -> str:
        """The same 12 characters for the same text or messages and tools, everywhere: prompts are held out by it."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:12]

    def as_json(self) -> str:
        """What is asked, as JSON: text or messages, and tools if there are any."""
        return self.model_dump_json(include={"text", "messages", *(["tools"] if self.tools else [])})

    def __hash__(self) -> int:
        """Equal prompts have equal hashes; what a dict holds has none."""
        return hash((self.text, self.messages, self.answer))

    def __str__(self) -> str:
        """The prompt as a person reads it."""
        return self.text or "\n".join(f"{message.role}: {message}" for message in self.messages)


class Feedback(Record):
    """One answer judged alone, by a thumb: nothing says what it is better than."""

    prompt: Prompt
    """What was asked."""
    response: str = Field(min_length=1)
    """The answer, not empty."""
    liked: bool
    """Whether the thumb is up."""
    annotator: str | None = None
    """Who judged, if it's known."""


class Demonstration(Record):
    """A prompt with the answer that somebody wrote, to be imitated."""

    prompt: Prompt
    """What was asked."""
    response: str = Field(min_length=1)
    """The answer, not empty. With a plain prompt nothing is put between the two: a space or a line's end is part of
    one."""


class Completion(Record):
    """A prompt with one response: what a scorer is given, and what an annotator compares."""

    prompt: Prompt
    """What was asked, with its answer key and columns."""
    response: str
    """The answer as text, without its end and padding; other special tokens (`<think>`) stand in it. May be empty."""
    finished: bool = True
    """True if the answer ended by itself, with end-of-sequence; False if it was cut at `max_new_tokens`."""


class Response(Record):
    """One side of a comparison."""

    id: str = Field(min_length=1)
    """Made from prompt and text where the data have none."""
    text: str
    """The answer."""
    finished: bool = True
    """Whether it ended by itself; False if it was cut."""


class Comparison(Record):
    """One prompt, two responses, an outcome, and who said so. `ValueError` if the two responses are the same."""

    prompt: Prompt
    """What both responses answer."""
    first: Response
    """One response, in the order in which they were compared."""
    second: Response
    """The other one."""
    probability: float = Field(ge=0, le=1)
    """That the first response is the better one: 1 or 0 for a choice, 0.5 for a tie, anything between for a soft
    label."""
    strength: Literal[1, 2, 3] | None = None
    """How much better, from 1 (slightly) to 3 (much); None if the annotator didn't say."""
    source: str = Field(min_length=1)
    """Where it came from: `annotator` (a function in Python), `simulated`, `judge`, a file's or a studio project's
    name."""
    annotator: str | None = Field(None, min_length=1)
    """Which person or judge, where that is known."""
    group: str | None = Field(None, min_length=1)
    """The ranking that the pair belongs to; None if it stands by itself."""
    check: Literal["first", "second"] | None = None
    """The known winner of a check pair, by which annotators are examined; None for an ordinary pair."""

    @model_validator(mode="after")
    def _distinct(self) -> Comparison:
        if (self.first.text, self.first.finished) == (self.second.text, self.second.finished):
            raise ValueError("the two responses are identical")
        return self

    @property
    def pair(self) -> tuple[Prompt, tuple[str, bool], tuple[str, bool]]:
        """What is compared, whichever was shown first: prompt, the response that sorts lower, the other one."""
        low, high = sorted((side.text, side.finished) for side in (self.first, self.second))
        return self.prompt, low, high

    @property
    def for_lower(self) -> float:
        """How probable it is that the response of `pair` that sorts lower is the better one."""
        is_first = (self.first.text, self.first.finished) < (self.second.text, self.second.finished)
        return self.probability if is_first else 1 - self.probability

    def completions(self) -> tuple[Completion, Completion]:
        """Both sides as completions, the first one first."""
        first, second = (
            Completion(prompt=self.prompt, response=side.text, finished=side.finished)
            for side in (self.first, self.second)
        )
        return first, second


class Score(Record):
    """What a scorer says of one completion. A scorer may return plain numbers in its place."""

    score: float
    """Higher is better, finite, in any unit: where a scale is needed it comes from the SFT policy's own answers."""
    parts: dict[str, float] = {}
    """What the score is made of, by name, for the logs; finite."""
    cost: float = 0.0
    """What it cost to say so, in the currency of the prices in [runtime.judge]; 0 if nothing."""
    note: str = ""
    """A word to whoever reads the answers: why it failed, the judge's reason."""


Verdict = Score  # its name in 0.1: scorers of users return it


def response_id(prompt: Prompt, text: str) -> str:
    """An id for a response that came without one."""
    return hashlib.sha256(f"{prompt.id}\0{text}".encode()).hexdigest()[:12]


def line(record: Record) -> dict[str, Any]:
    """A record as one object of a JSONL file, defaults left out."""
    return record.model_dump(mode="json", exclude_defaults=True)
