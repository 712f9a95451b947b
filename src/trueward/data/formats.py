"""The forms of files of comparisons: which one a row has, and the comparison in it (docs/comparisons.md)."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from typing import Any

from pydantic import ValidationError

from trueward.data import flat, rankings
from trueward.data.flat import EMPTY, EMPTY_PROMPT, IDENTICAL
from trueward.data.jsonl import kind
from trueward.data.rows import Row, as_prompt
from trueward.records import ASSISTANT, Comparison, Message, Prompt, Response, response_id

NAMES = {
    "own": "trueward's own",
    "trl": "TRL's",
    "trl-implicit": "TRL's without a prompt",
    "hh": "Anthropic HH's",
    "rankings": "rankings'",
    "table": "a table's",
}
NEEDS = {
    "own": ("prompt", "first", "second"),
    "trl": ("prompt", "chosen", "rejected"),
    "trl-implicit": ("chosen", "rejected"),
    "hh": ("chosen", "rejected"),
    "rankings": (),
    "table": (),
}
UNDERSTOOD = (
    'understood are {"prompt", "chosen", "rejected"}, {"chosen", "rejected"}, {"prompt", "responses", "ranks"}, '
    '{"prompt", "response_a", "response_b", "winner"} and {"prompt", "first", "second", "probability", "source"}'
)
TWO_IDENTICAL = "the two responses are identical"
DIFFERENT_PROMPTS = "chosen and rejected answer different prompts"
NO_SHARED_PROMPT = "no shared prompt"

ROLES = {"Human": "user", "Assistant": ASSISTANT}
HH_TURN = re.compile(r"\n\n(Human|Assistant): ?")
TURN = re.compile(r"(?:^|\n)(?:(Assistant|ASSISTANT|AI|Bot|Answer|A|### Response|TL;DR)|User|USER|Human|Question|Q):")


def form(row: Row) -> str:
    """The row's form, a key of `NAMES`: by its fields, HH by how both texts begin."""
    values = row.values
    if flat.sides(row):
        return "table"
    if row.has("first") or row.has("second"):
        return "own"
    if rankings.is_ranking(row):
        return "rankings"
    if row.has("chosen", "rejected"):
        if row.has("prompt"):
            return "trl"
        hh = all(str(values[name]).startswith("\n\nHuman:") for name in ("chosen", "rejected"))
        return "hh" if hh else "trl-implicit"
    if row.has("completion", "label"):
        raise row.error(
            f'"completion" with "label" is one response judged alone, and a comparison has two; {UNDERSTOOD}'
        )
    for name, other in (("chosen", "rejected"), ("rejected", "chosen")):
        if row.has(name):
            raise row.error(f'missing field "{other}"; {UNDERSTOOD}')
    fields = ", ".join(f'"{name}"' for name in values) or "no fields"
    raise row.error(f"expected a comparison, got {fields}; {UNDERSTOOD}")


def parse(row: Row, source: str, as_form: str, left_out: Counter[str]) -> list[Comparison]:
    """The comparisons in a row of that form: none if it's of no use, which is counted; `ValueError` if it's wrong."""
    for name in NEEDS[as_form]:
        if not row.has(name):
            raise row.error(f'missing field "{name}"; {UNDERSTOOD}')
    if as_form == "own":
        return [_own(row)]
    if as_form == "table":
        return flat.parse(row, source, left_out)
    if as_form == "rankings":
        return rankings.parse(row, source, left_out)
    texts_or_reason = {"trl": _trl, "trl-implicit": _implicit, "hh": _hh}[as_form](row)
    if not isinstance(texts_or_reason, str):
        prompt, *texts = texts_or_reason
        texts_or_reason = (
            EMPTY if not all(text.strip() for text in texts) else IDENTICAL if texts[0] == texts[1] else texts_or_reason
        )
    if isinstance(texts_or_reason, str):
        left_out[texts_or_reason] += 1
        return []
    first, second = (Response(id=response_id(prompt, text), text=text) for text in texts)
    return [Comparison(prompt=prompt, first=first, second=second, probability=1.0, source=source)]


TextsOrReason = tuple[Prompt, str, str] | str


def _trl(row: Row) -> TextsOrReason:
    if row.is_list("prompt"):
        prompt = row.prompt()
        answers = row.answer("chosen"), row.answer("rejected")
    elif row.is_list("chosen"):  # UltraFeedback: the prompt's text beside whole conversations
        (before, chosen), (other, rejected) = row.conversation("chosen"), row.conversation("rejected")
        text, answers = row.text("prompt"), (chosen, rejected)
        if before != other:
            return DIFFERENT_PROMPTS
        if before and text not in [message.content for message in before]:
            raise row.error('expected the text of a message that "chosen" and "rejected" share', "prompt")
        prompt = as_prompt(before or (Message(role="user", content=text),))
    else:
        prompt = row.prompt()
        answers = row.text("chosen"), row.text("rejected")
    return (prompt, *answers) if prompt else EMPTY_PROMPT


def _implicit(row: Row) -> TextsOrReason:
    if row.is_list("chosen") or row.is_list("rejected"):
        (before, chosen), (other, rejected) = row.conversation("chosen"), row.conversation("rejected")
        if before != other:
            return DIFFERENT_PROMPTS
        prompt = as_prompt(before)
        return (prompt, chosen, rejected) if prompt else NO_SHARED_PROMPT
    chosen, rejected = (row.text(name, "a string or a list of messages") for name in ("chosen", "rejected"))
    if chosen == rejected:
        return IDENTICAL
    end = shared_prompt(chosen, rejected)
    prompt = as_prompt(chosen[:end])
    return (prompt, chosen[end:], rejected[end:]) if prompt else NO_SHARED_PROMPT


def shared_prompt(one: str, other: str) -> int:
    """Where the prompt of two texts ends that begin with the same one.

    The longest common prefix, cut back to the last place in it where a turn of an assistant begins (after a line's
    `Assistant:`, if no other speaker's follows), else to a word's: before a space, after a line's end, or beside a
    Chinese, Japanese or Korean character; and so far that something is left of both texts. 0 if there's no such place.
    """
    last = min(len(one), len(other)) - 1
    common = next((i for i in range(last + 1) if one[i] != other[i]), last + 1)
    turns = [turn for turn in TURN.finditer(one[:common]) if one[turn.end() :].strip() and other[turn.end() :].strip()]
    if turns and turns[-1][1]:
        return turns[-1].end()
    for end in range(min(common, last), 0, -1):
        if _boundary(one, end) and _boundary(other, end) and one[end:].strip() and other[end:].strip():
            return end
    return 0


def _boundary(text: str, at: int) -> bool:
    before, after = text[at - 1], text[at]
    if after == " ":
        return not before.isspace()
    return (before == "\n" and after != "\n") or _ideograph(before) or _ideograph(after)


def _ideograph(character: str) -> bool:
    return character.isalpha() and unicodedata.east_asian_width(character) in "WF"


def split_hh(text: str) -> tuple[Message, ...]:
    """The turns of a text in Anthropic's HH form; one space after the colon belongs to the form."""
    pieces = HH_TURN.split(text)
    return tuple(Message(role=ROLES[r], content=c) for r, c in zip(pieces[1::2], pieces[2::2], strict=True))


def join_hh(messages: tuple[Message, ...]) -> str:
    """The turns as HH writes them. Roles are user and assistant."""
    speakers = {role: speaker for speaker, role in ROLES.items()}
    return "".join(f"\n\n{speakers[message.role]}: {message.content}" for message in messages)


def _hh(row: Row) -> TextsOrReason:
    sides = []
    for name in ("chosen", "rejected"):
        turns = split_hh(row.text(name))
        if not turns or turns[-1].role != ASSISTANT:
            got = '"Human:"' if turns else "no turns"
            raise row.error(f'expected a dialogue of which the last turn is "Assistant:", got {got}', name)
        sides.append(turns)
    (*before, chosen), (*other, rejected) = sides
    if before != other:
        return DIFFERENT_PROMPTS
    prompt = as_prompt(tuple(before))
    return (prompt, chosen.content, rejected.content) if prompt else EMPTY_PROMPT


EXPECTED = {
    "string_type": "a string",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "model_type": "an object",
    "dict_type": "an object",
    "model_attributes_type": "an object",
    "greater_than_equal": "a number from 0 to 1",
    "less_than_equal": "a number from 0 to 1",
    "finite_number": "a number from 0 to 1",
    "literal_error": "1, 2 or 3",  # strength; the other one is below
    "string_too_short": "a text that is not empty",
}


def _own(row: Row) -> Comparison:
    try:  # as JSON, because strictness then takes a list for a tuple, and still no "1" for 1
        return Comparison.model_validate_json(json.dumps(row.values), strict=True)
    except ValidationError as problem:
        error: Any = problem.errors(include_url=False)[0]
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"]).lstrip(".")
    if error["type"] == "missing":
        raise row.error(f'missing field "{place}"; {UNDERSTOOD}')
    if error["type"] == "extra_forbidden":
        raise row.error(f"unknown field; {UNDERSTOOD}", place)
    if error["type"] == "value_error":
        raise row.error(str(error["ctx"]["error"]), place)
    if error["loc"] == ("check",):
        raise row.error(f'expected "first" or "second", got {json.dumps(error["input"])}', "check")
    got = kind(error["input"]) if error["type"].endswith("_type") else json.dumps(error["input"], ensure_ascii=False)
    raise row.error(f"expected {EXPECTED.get(error['type'], error['msg'])}, got {got}", place)
