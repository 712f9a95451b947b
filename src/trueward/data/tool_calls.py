"""Whether a chat template writes what it's given of function calls: most write none, and say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jinja2 import TemplateError

from trueward.data.control_tokens import ControlTokens, Talk, UnreadableError

LOST = "tool calls, which the model's chat template leaves out"
LOST_TOOLS = "tools, which the model's chat template leaves out"


class LostCallsError(UnreadableError):
    """A conversation with function calls, their results or tools, of which the template leaves something out."""


def require_written(control: ControlTokens, talk: Talk) -> None:
    """`LostCallsError` if the template refuses the conversation for its calls, or writes the same without a part of them."""
    calling = [message for message in talk.messages if message.get("tool_calls") or message.get("role") == "tool"]
    if not calling and not talk.tools:
        return
    try:
        whole = control.render(talk, True)
        if talk.tools and control.render(replace(talk, tools=()), True) == whole:
            raise LostCallsError(LOST_TOOLS)
        for place, message in enumerate(talk.messages):
            if message in calling and control.render(_changed(talk, place), True) == whole:
                raise LostCallsError(LOST)
    except (TemplateError, TypeError, KeyError) as error:
        raise LostCallsError(f"tool calls, which the model's chat template refuses: {error}") from None


def _changed(talk: Talk, place: int) -> Talk:
    """With another function called, or another result, at this place."""
    message: dict[str, Any] = dict(talk.messages[place])
    if message.get("tool_calls"):
        message["tool_calls"] = [_renamed(call) for call in message["tool_calls"]]
    else:
        message["content"] += " and more"
    return replace(talk, messages=[*talk.messages[:place], message, *talk.messages[place + 1 :]])


def _renamed(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "name": f"{function['name']}_", "arguments": {"_": 0}}}
