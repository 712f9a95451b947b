"""The prompt of a row of comparisons, from all columns that hold a part of it (docs/comparisons.md, "The prompt").

A column known to hold text is read, or the row is refused: it is never left aside while something else is guessed.
"""

from __future__ import annotations

import re

from trueward.data import cells
from trueward.data.rows import Row, as_prompt
from trueward.records import Message, Prompt

ASKING = ("question", "instruction", "query", "post", "problem", "user_prompt")
SYSTEM = ("system", "system_prompt", "system_message")
PASSAGES = ("context", "passage", "document")
EARLIER = ("history", "conversation", "conversations")
PARTS = ("prompt", *ASKING, "input", *PASSAGES, *EARLIER)
KNOWN = (*PARTS, *SYSTEM)
ABOUT = re.compile(
    r"(.*_)?(id|ids|hash|uuid|source|sources|origin|dataset|subset|split|category|categories|type|model|models|language|lang|"
    r"annotator|annotators|judge|date|time|timestamp|created_at|url|link|license|tag|tags|name|status|domain|"
    r"reason|reasons|rationale|explanation|comment|comments|critique|feedback|notes|principle|principles|"
    r"version|group|method)(_(ids?|names?|types?|keys?|urls?|at|versions?|codes?|tags?|splits?|models?|a|b|[0-9]+))?",
    re.IGNORECASE,
)
"""Columns that tell of a row and aren't asked."""
JUDGED = re.compile(r"(?!.*(prompt|question|instruction|input|query|context))(.*_)?(chosen|rejected)(_.*)?")
LONG = 12
"""Characters from which a text without spaces is taken for more than a word."""


def has_prompt(row: Row) -> bool:
    """Whether a column is there that holds what was asked."""
    return row.column(*PARTS) or (row.column("messages") and not row.is_list("chosen"))


def is_given(row: Row, name: str) -> bool:
    """Whether the column is to be read: it has a value, and `--columns` doesn't name others in its place."""
    chosen = row.options.columns
    return row.has(name) and bool(row.values[name]) and ("prompt" not in chosen or name in chosen)


def read(row: Row) -> Prompt | None:
    """The prompt; None if there's no text in it. `ValueError` names columns that can't both be it."""
    instructed, earlier, passages = system(row), _earlier(row), [n for n in PASSAGES if is_given(row, n)]
    if earlier == "context":
        passages = []
    asked = _asked(row)
    if asked is None and passages and not is_given(row, "input"):
        asked, passages = passages[-1], passages[:-1]
    if asked is None and is_given(row, "input"):
        asked = "input"
    if asked is None and earlier and not row.is_list(earlier) and isinstance(row.values[earlier], str):
        asked, earlier = earlier, ""
    before = _turns(row, earlier) if earlier else ()
    if asked is None and not earlier and is_given(row, "messages"):
        return _whole(row, instructed, (), row.messages("messages"))
    if asked is None:
        if not earlier and not row.column(*PARTS):
            raise row.error('missing field "prompt"')
        row.taken.update(n for n in PARTS if row.has(n) and not any(map(str.strip, _texts(row, n))))
        return _whole(row, instructed, before, ())
    if row.is_list(asked):
        own = row.messages(asked)
        return _whole(row, instructed, () if own[: len(before)] == before else before, own)
    further = [name for name in (*passages, "input") if name != asked and is_given(row, name)]
    whole = row.text(asked, "a string or a list of messages")
    parts = [(name, row.text(name)) for name in further]
    parts = [(name, text) for name, text in parts if text.strip() and text.strip() not in whole]
    if asked == "prompt" and any(name == "input" for name, _ in parts):
        raise row.error(
            'beside "prompt" it may be asked too, or not; --columns prompt=prompt leaves it, --columns '
            "instruction=prompt,input=input reads both",
            "input",
        )
    passage = [text for name, text in parts if name != "input"]
    inputs = [text for name, text in parts if name == "input"]
    order = [whole, *passage, *inputs] if asked == "instruction" else [*passage, whole, *inputs]
    text = "\n\n".join(order)
    if asked == "prompt" and not instructed and not before:
        return as_prompt(text)
    return _whole(row, instructed, before, (Message(role="user", content=text),) if text.strip() else ())


def _asked(row: Row) -> str | None:
    """The one column with the question itself; what repeats a part of it doesn't count."""
    names = [name for name in ("prompt", *ASKING) if is_given(row, name) and any(map(str.strip, _texts(row, name)))]
    row.taken.update(names)
    if len(names) < 2:
        return names[0] if names else None
    for name in names:
        whole = "\n".join(_texts(row, name))
        if all(text.strip() in whole for other in names for text in _texts(row, other)):
            return name
    one, other = names[:2]
    raise row.error(
        f'beside "{one}" it may be what was asked too; --columns prompt={one} or prompt={other} says', other
    )


def _texts(row: Row, name: str) -> list[str]:
    value = row.values[name]
    if isinstance(value, dict) or not any(map(str.strip, cells.texts(value))):
        row.messages(name) if row.is_list(name) else row.text(name, "a string or a list of messages")  # if it's neither
    return cells.texts(value)


def system(row: Row) -> str:
    """The system's message, where a column holds one."""
    for name in SYSTEM:
        if row.has(name):
            row.taken.add(name)
            if is_given(row, name) and row.text(name).strip():
                return row.text(name)
    return ""


def _earlier(row: Row) -> str:
    named = [name for name in EARLIER if is_given(row, name)]
    if is_given(row, "context") and row.is_list("context"):
        named.append("context")
    if len(named) > 1:
        raise row.error(
            f'beside "{named[0]}" it may be the conversation too; --columns prompt={named[0]} says', named[1]
        )
    return named[0] if named else ""


def _turns(row: Row, name: str) -> tuple[Message, ...]:
    """Earlier messages: a list of them, or of pairs of the user's and the assistant's texts."""
    value = row.values[name]
    if isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        row.taken.add(name)
        roles = ("user", "assistant")
        turns = [zip(roles, pair, strict=True) for pair in value]
        if not all(isinstance(text, str) for pair in value for text in pair):
            raise row.error("expected pairs of texts, the user's and the assistant's", name)
        return tuple(Message(role=role, content=text) for pair in turns for role, text in pair)
    if isinstance(value, str):
        raise row.error(
            f"expected a list of messages beside the prompt, got a string; --columns prompt={name} takes it", name
        )
    return row.messages(name)


def _whole(row: Row, instructed: str, before: tuple[Message, ...], own: tuple[Message, ...]) -> Prompt | None:
    return as_prompt(with_system(row, instructed, (*before, *own)))


def with_system(row: Row, text: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages, with the system's before them if there's one that they don't begin with."""
    if not text.strip():
        return messages
    if messages and messages[0].role == "system":
        if messages[0].content.strip() == text.strip():
            return messages
        row.contradiction(
            "expected the system message that the conversation begins with", "two system messages", "system"
        )
    return (Message(role="system", content=text), *messages)


def agrees(row: Row, before: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages that two conversations share, with a system's text beside them; every column that is known to be asked
    has to be in them: `ValueError` names the one that isn't."""
    whole = "\n".join(m.content for m in before)
    for name in PARTS:
        if is_given(row, name):
            row.taken.add(name)
            if not all(text.strip() in whole for text in _texts(row, name)):
                expected = 'expected the text of a message that "chosen" and "rejected" share'
                raise row.error(expected, name)
    return with_system(row, system(row), before)


def unread(row: Row, prompt: str) -> None:
    """`ValueError` if a column that nobody reads may hold what was asked, and isn't in the prompt that was inferred."""
    if row.options.format:
        return
    for name, value in row.values.items():
        if name in row.taken or ABOUT.fullmatch(name) or JUDGED.fullmatch(name):
            continue
        if name == "messages" and row.is_list("chosen"):
            continue  # a copy of the chosen conversation, to imitate
        if isinstance(value, list) and not any(map(cells.is_message, value)):
            continue  # texts in a list are candidates, tags, other generations
        for text in cells.texts(value):
            if (_is_sentence(text) or row.is_list(name)) and text.strip() not in prompt:
                raise row.error(
                    'its text is not in the prompt that "chosen" and "rejected" share; --columns prompt='
                    f"{name} reads it as the prompt, --format trl-implicit leaves it aside",
                    name,
                )


def _is_sentence(text: str) -> bool:
    return len(text.split()) > 1 or len(text.strip()) >= LONG or not text.strip().isascii()
