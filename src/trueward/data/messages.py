"""What a message of somebody's data holds beside its role: content in parts, function calls, a function's result."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from trueward.data.jsonl import kind

NOT_TEXT = "content that isn't text"
BAD_CALL = "a tool call that can't be read"
BAD_TOOLS = "tools that can't be read"
IS_CALL = "the answer is a tool call"
CALLS = ("tool_calls", "function_call")
"""Keys of a message with the functions that it calls, OpenAI's and its older one."""
RESULT = "tool"
RESULTS = {"observation": RESULT, "function": RESULT}
"""What other forms call the role of a function's result."""
NAMES = ("tool_call_id", "name")
"""Keys of a function's result that are read."""
CALL_ROLE = "function_call"
"""LLaMA-Factory's role of a message whose text is a call."""


class MessageError(ValueError):
    """Content that is of no use, or wrong if `reason` is empty."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = reason


def content(value: object, may_be_empty: bool) -> str:
    """The text: a string, or parts of type text, one after the other. may_be_empty: null is no content."""
    if value is None and may_be_empty:
        return ""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise MessageError(f"expected a string, got {kind(value)}")
    return "".join(_part(part) for part in value)


def _part(part: object) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise MessageError(f"expected parts of a message, got {kind(part)} in a list")
    form = part.get("type", "text" if "text" in part else None)
    if form not in ("text", "input_text", "output_text"):
        name = f'"{form}"' if isinstance(form, str) else "no type"
        raise MessageError(f"expected parts of type text, got {name}", NOT_TEXT)
    if not isinstance(part.get("text"), str):
        raise MessageError(f"expected a part with a text, got {kind(part.get('text'))}")
    return str(part["text"])


def calls(message: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """The functions that a message calls, arguments as objects, in the form that chat templates take."""
    every: list[Any] = []
    for name in CALLS:
        value = _decoded(message.get(name))
        every += value if isinstance(value, list) else [] if value in (None, "") else [value]
    return tuple(call(one) for one in every)


def call(value: object) -> dict[str, Any]:
    """One call: `{"function": {"name", "arguments"}}`, or the inner object alone; also as JSON text."""
    value = _decoded(value)
    inner: Any = value.get("function", value) if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise MessageError('expected a call with the function\'s "name" and "arguments"', BAD_CALL)
    arguments = _decoded(next((inner[key] for key in ("arguments", "parameters") if inner.get(key) is not None), {}))
    if arguments == "":
        arguments = {}
    if not isinstance(arguments, Mapping):
        raise MessageError(f"expected a call's arguments as an object, got {kind(arguments)}", BAD_CALL)
    function = {"name": inner["name"], "arguments": dict(arguments)}
    named = {"id": value["id"]} if isinstance(value.get("id"), str) and value["id"] else {}
    return {**named, "type": "function", "function": function}


def tools(value: object) -> tuple[dict[str, Any], ...]:
    """The functions that a row offers to the model: JSON schemas, or JSON text of them."""
    value = _decoded(value)
    if value in (None, ""):
        return ()
    every: list[Any] = [_decoded(tool) for tool in (value if isinstance(value, list) else [value])]
    if not all(isinstance(tool, Mapping) for tool in every):
        raise MessageError("expected a list of functions as JSON schemas", BAD_TOOLS)
    return tuple(dict(tool) for tool in every)


def _decoded(value: Any) -> Any:
    """JSON text of an object or a list as what it is; any other value as it is."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            return json.loads(value)
        except (json.JSONDecodeError, RecursionError):
            return value
    return value
