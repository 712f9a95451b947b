"""Values as they come out of any kind of file: messages that were written as JSON text, fields without a value."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from trueward.data.messages import CALLS

PYTHON = re.compile(r"\s*\[?\s*\{'(role|content|from|value)': ")
DEEPEST = 100
SPEAKER = ("from", "value")  # ShareGPT's names of a message's two keys


def is_empty(value: object) -> bool:
    """Whether a field has no value: null, or NaN, as data frames write it."""
    return value is None or (isinstance(value, float) and value != value)


def is_message(value: object) -> bool:
    """Whether it's a message: `role` and `content` or a call, or `from` and `value`."""
    if not isinstance(value, dict):
        return False
    return ("role" in value and any(key in value for key in ("content", *CALLS))) or set(SPEAKER) <= value.keys()


def decoded(value: Any) -> Any:
    """The messages that a text holds as JSON; any other value as it is."""
    if not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        content = json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return value
    messages = content if isinstance(content, list) else [content]
    return content if messages and all(is_message(message) for message in messages) else value


def is_python(text: str) -> bool:
    """Whether a text holds messages as Python prints a list of them, which isn't JSON."""
    return PYTHON.match(text) is not None


def is_json(value: Any) -> bool:
    """Whether JSON can hold it."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def has_surrogate(value: Any) -> bool:
    """Whether there's half of a surrogate pair in it, which is no Unicode text."""
    return any(isinstance(each, str) and _is_half(each) for each, _ in _inside(value))


def is_too_deep(value: Any) -> bool:
    """Whether it holds lists and objects in each other to more than `DEEPEST` levels."""
    return any(depth > DEEPEST for _, depth in _inside(value))


def _is_half(text: str) -> bool:
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _inside(value: Any) -> Iterator[tuple[Any, int]]:
    """The value and all that's in it, keys too, with the depth; no deeper than one level too many."""
    waiting = [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        yield each, depth
        if depth > DEEPEST:
            continue
        if isinstance(each, dict):
            waiting += [(inner, depth + 1) for pair in each.items() for inner in pair]
        elif isinstance(each, list):
            waiting += [(inner, depth + 1) for inner in each]


def texts(value: Any) -> list[str]:
    """The texts in a column that may be asked: the string itself, or those of messages and of lists of texts."""
    if isinstance(value, str):
        return [value]
    if is_message(value):
        return texts(value.get("content", value.get("value")))
    if isinstance(value, dict) and value.get("type") == "text":  # a part of a message
        return texts(value.get("text"))
    if isinstance(value, list):
        return [text for inner in value for text in texts(inner)]
    return []
