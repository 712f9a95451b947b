"""One row of a user's data: its fields, checked one by one, with errors that name the place and what was expected."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from trueward.data import cells, messages
from trueward.data.jsonl import kind
from trueward.data.options import ReadOptions
from trueward.records import ASSISTANT, Message, Prompt

T = TypeVar("T")
SURROGATE = "half of a surrogate pair"
DEEP = "nested too deep"
SPEAKERS = {"human": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant", "prompter": "user"}
"""What other forms call the roles: where a message has `from` and `value`, and OASST's."""
OTHERS = ("user", "system", "developer", "tool", "function", "ipython", "observation", "function_call")
"""Roles of a conversation that ends before its answer; any other one may be the assistant by another name."""


OPTIONAL = ("system", "history", "input", "context", "annotator", "source", "group", "strength", "check")
"""Columns that a row may lack which `--columns` names."""


class UnusableRowError(ValueError):
    """A row that holds no usable record. Whoever reads many leaves it out, and counts it by `reason`."""

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass
class Row:
    """`where` is how errors name it ("people.jsonl, line 7"); `taken` collects the fields that were read; `empty` are those
    without a value; `options` say how the file is read."""

    where: str
    values: dict[str, Any]
    taken: set[str] = field(default_factory=set)
    ignored_keys: set[str] = field(default_factory=set)
    number: int = 0
    empty: set[str] = field(default_factory=set)
    options: ReadOptions = field(default_factory=ReadOptions)

    @classmethod
    def of(cls, where: str, values: Mapping[str, Any], number: int) -> Row:
        """A row of a file: null and NaN are fields without a value, and messages in a text are messages."""
        empty = {str(name) for name, value in values.items() if cells.is_empty(value)}
        present = {str(name): value for name, value in values.items() if str(name) not in empty}
        if not all(
            isinstance(present.get(name), str) for name in ("first", "second")
        ):  # our own table holds texts alone
            present = {name: cells.decoded(value) for name, value in present.items()}
        return cls(where, present, number=number, empty=empty)

    def use(self, options: ReadOptions) -> Row:
        """The row, read with these options; `UnusableRowError` if it has half of a surrogate pair in it."""
        self.options = options
        self.taken.add("tools")
        for name, value in self.values.items():
            if cells.is_too_deep(value):
                self.unusable(f"expected a value, got one {DEEP}", DEEP, name)
            if cells.has_surrogate(value):
                self.unusable(f"expected Unicode text, got {SURROGATE}", SURROGATE, name)
            if isinstance(value, str) and cells.is_python(value):
                raise self.error(
                    "expected messages as JSON, got them as Python writes them; write them with json.dumps", name
                )
        for name, column in options.columns.items():
            if column in self.values:
                self.values[name] = self.values[column] if name == column else self.values.pop(column)
            elif options.in_recipe and self.column(name):
                continue  # one of several files, which has the column by this name
            elif column in self.empty or name in OPTIONAL:
                self.values.pop(name, None)
                self.empty.add(name)
            else:
                raise self.error(f"missing field of --columns {name}={column}", column)
        return self

    def column(self, *names: str) -> bool:
        """Whether one of these fields is there, with a value or without."""
        return any(name in self.values or name in self.empty for name in names)

    def unusable(self, message: str, reason: str, name: str = "") -> NoReturn:
        """Raise that this row can't be used: where, which field, why; `reason` is what it's counted as."""
        raise UnusableRowError(str(self.error(message, name)), reason)

    def contradiction(self, message: str, reason: str, name: str) -> NoReturn:
        """Raise that what the row holds contradicts itself: left out if that's what the options say, else an error."""
        if self.options.contradictions == "drop":
            self.unusable(message, reason, name)
        raise self.error(f"{message}; --contradictions drop leaves such rows out", name)

    def has(self, *names: str) -> bool:
        """Whether all these fields are there."""
        return all(name in self.values for name in names)

    def error(self, message: str, name: str = "") -> ValueError:
        """The error to raise: where, which field, what was expected."""
        message = self.options.spelled(message)
        return ValueError(f"{self.where}: " + (f'"{name}": ' if name else "") + message)

    def is_list(self, name: str) -> bool:
        """Whether the field holds a list, which then has to be one of messages."""
        value = self.values.get(name)
        return isinstance(value, list) or cells.is_message(value)

    def text(self, name: str, expected: str = "a string") -> str:
        """The field's string."""
        self.taken.add(name)
        value = self.values[name]
        if not isinstance(value, str):
            raise self.error(f"expected {expected}, got {kind(value)}", name)
        return value

    def name(self, field: str) -> str | None:
        """The field's string, which is not empty; None if the field isn't there."""
        if field not in self.values:
            return None
        if not (text := self.text(field)):
            raise self.error("expected a text that is not empty, or no such field", field)
        return text

    def number_in(self, name: str, low: float, high: float) -> float:
        """The field's number from `low` to `high`; in a table it may be written out."""
        self.taken.add(name)
        value = self.values[name]
        expected = f"expected a number from {low:g} to {high:g}"
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise self.error(f"{expected}, got {kind(value)}", name)
        try:
            number = float(value)
        except ValueError:
            raise self.error(f'{expected}, got "{value}"', name) from None
        if not low <= number <= high:
            raise self.error(f"{expected}, got {value}", name)
        return number

    def word(self, name: str, words: Mapping[str, T]) -> T:
        """What the field's word stands for, in small or large letters."""
        self.taken.add(name)
        value = self.values[name]
        text = json.dumps(value) if isinstance(value, bool) else value
        if not isinstance(text, str) or text.strip().lower() not in words:
            known = [f'"{word}"' for word in words]
            got = f'"{value}"' if isinstance(value, str) else kind(value)
            raise self.error(f"expected {', '.join(known[:-1])} or {known[-1]}, got {got}", name)
        return words[text.strip().lower()]

    def messages(self, name: str) -> tuple[Message, ...]:
        """The field's messages, roles as given; keys that aren't read are ignored."""
        self.taken.add(name)
        value = self.values[name]
        if cells.is_message(value):
            value = [value]
        if not isinstance(value, list):
            raise self.error(f"expected a list of messages, got {kind(value)}", name)
        return tuple(self._message(item, f"{name}[{index}]") for index, item in enumerate(value))

    def _message(self, item: object, name: str) -> Message:
        if not isinstance(item, dict):
            raise self.error(f"expected a message, got {kind(item)}", name)
        other = cells.SPEAKER if "role" not in item and set(cells.SPEAKER) <= item.keys() else None
        keys = other or ("role", "content")
        speaking = not any(item.get(name) for name in messages.CALLS)
        for key in keys[: 2 if speaking else 1]:
            if key not in item:
                raise self.error(f'expected a message with "role" and "content", got one without "{key}"', name)
        speaker = item[keys[0]]
        if not isinstance(speaker, str):
            raise self.error(f"expected a string, got {kind(speaker)}", f"{name}.{keys[0]}")
        if not speaker:
            raise self.error("expected a role, got an empty string", f"{name}.{keys[0]}")
        role = self.options.roles.get(speaker) or (SPEAKERS.get(speaker.lower(), speaker) if other else speaker)
        try:
            content, calls = messages.content(item.get(keys[1]), not speaking), messages.calls(item)
            if role == messages.CALL_ROLE:
                role, content, calls = ASSISTANT, "", (*calls, messages.call(content))
        except messages.MessageError as problem:
            if problem.reason:
                self.unusable(str(problem), problem.reason, f"{name}.{keys[1]}")
            raise self.error(str(problem), f"{name}.{keys[1]}") from None
        role = messages.RESULTS.get(role, role)
        names = [key for key in messages.NAMES if role == messages.RESULT and isinstance(item.get(key), str)]
        read = (*keys, *messages.CALLS, *names)
        self.ignored_keys |= {f"message.{k}" for k, v in item.items() if k not in read and v is not None}
        return Message(role=role, content=content, tool_calls=calls, **{key: item[key] for key in names})

    def conversation(self, name: str) -> tuple[tuple[Message, ...], str]:
        """Messages of which the last is the assistant's: the ones before it, and its text."""
        talk = self.messages(name)
        expected = "expected messages of which the last is the assistant's, got"
        if not talk:
            self.unusable(f"{expected} an empty list", "no messages", name)
        if (role := talk[-1].role) == ASSISTANT:
            if talk[-1].tool_calls:
                self.unusable("expected an answer in words, got a tool call", messages.IS_CALL, name)
            return talk[:-1], talk[-1].content
        if role in OTHERS:
            self.unusable(f'{expected} one by "{role}"', f"the last message is the {role}'s", name)
        raise self.error(f'{expected} one by "{role}"; --roles {role}=assistant reads it as that', name)

    def answer(self, name: str) -> str:
        """The text of a list that holds one message, the assistant's; or of a string."""
        if isinstance(self.values[name], str):
            return self.text(name)
        before, text = self.conversation(name)
        if before:
            raise self.error(f"expected one message, the assistant's, got {len(before) + 1} messages", name)
        return text

    def key(self) -> str:
        """The answer key in the field `answer`: a text as it is, anything else as JSON; empty without one."""
        self.taken.add("answer")
        value = self.values.get("answer")
        if value is None or isinstance(value, str):
            return value or ""
        return json.dumps(value, ensure_ascii=False)

    def keyed(self, prompt: Prompt | None) -> Prompt | None:
        """The prompt with the row's answer key and tools."""
        key, prompt = self.key(), self.offered(prompt)
        return prompt.model_copy(update={"answer": key}) if prompt and key else prompt

    def offered(self, prompt: Prompt | None) -> Prompt | None:
        """The prompt with the functions in the column `tools`; a text then is the user's."""
        self.taken.add("tools")
        try:
            tools = messages.tools(self.values.get("tools"))
        except messages.MessageError as problem:
            self.unusable(str(problem), problem.reason, "tools")
        if not tools or not prompt:
            return prompt
        talk = prompt.messages or (Message(role="user", content=prompt.text),)
        return prompt.model_copy(update={"text": "", "messages": talk, "tools": tools})

    def prompt(self, name: str = "prompt") -> Prompt | None:
        """The field as a prompt, text or messages; None if it's empty."""
        if self.is_list(name):
            return as_prompt(self.messages(name))
        return as_prompt(self.text(name, "a string or a list of messages"))

    def ignored(self) -> set[str]:
        """Fields that nothing read: columns, and keys of messages as `message.KEY`."""
        return (self.values.keys() - self.taken) | self.ignored_keys


def as_prompt(value: str | tuple[Message, ...]) -> Prompt | None:
    """Text or messages as a prompt; None if there's nothing in it but white space."""
    if isinstance(value, str):
        return Prompt(text=value) if value.strip() else None
    return Prompt(messages=value) if any(m.content.strip() for m in value) else None
