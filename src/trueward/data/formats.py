"""The forms of files of comparisons: which one a row has, and the comparison in it (docs/comparisons.md)."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from typing import Any

from pydantic import ValidationError

from trueward.data import cells, context, flat, rankings, scored
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
    "trl": ("chosen", "rejected"),
    "trl-implicit": ("chosen", "rejected"),
    "hh": ("chosen", "rejected"),
    "rankings": (),
    "table": (),
}
UNDERSTOOD = (
    'understood are {"prompt", "chosen", "rejected"}, {"chosen", "rejected"}, {"prompt", "responses", "ranks"}, '
    '{"prompt", "response_a", "response_b", "winner"} and {"prompt", "first", "second", "probability", "source"}'
)
JUDGED_ALONE = (
    '"completion" with "label" is one response judged alone, and a comparison has two; '
    "`trueward comparisons import` keeps such a file as feedback"
)
TWO_IDENTICAL = "the two responses are identical"
DIFFERENT_PROMPTS = "chosen and rejected answer different prompts"
NO_SHARED_PROMPT = "no shared prompt"

ROLES = {"Human": "user", "Assistant": ASSISTANT}
HH_START = "\n\nHuman:"
HH_TURN = re.compile(r"\n\n(Human|Assistant): ?")
TURN = re.compile(r"(?:^|\n)(?:(Assistant|ASSISTANT|AI|Bot|Answer|A|### Response|TL;DR)|User|USER|Human|Question|Q):")


def form(row: Row) -> str:
    """The row's form, a key of `NAMES`: by its fields, HH by how both texts begin."""
    values = row.values
    if flat.sides(row):
        return "table"
    if row.column("first", "second"):
        return "own"
    if row.column("chosen") and row.column("rejected"):
        hh = [str(values.get(name, "")).startswith(HH_START) for name in ("chosen", "rejected") if row.has(name)]
        if hh and all(hh) and not _is_beside(row):
            return "hh"
        return "trl" if context.has_prompt(row) else "trl-implicit"
    if rankings.is_ranking(row):
        return "rankings"
    if row.has("completion", "label"):
        raise row.error(f"{JUDGED_ALONE}; {UNDERSTOOD}")
    for name, other in (("chosen", "rejected"), ("rejected", "chosen")):
        if row.column(name):
            raise row.error(f'missing field "{other}"; {UNDERSTOOD}')
    fields = ", ".join(f'"{name}"' for name in values) or "no fields"
    raise row.error(f"expected a comparison, got {fields}; {UNDERSTOOD}")


def _is_beside(row: Row) -> bool:
    """Whether the prompt stands beside two HH dialogues that don't begin with it."""
    prompts = [
        text.strip() for name in context.PARTS if context.is_given(row, name) for text in cells.texts(row.values[name])
    ]
    return not all(text in str(row.values.get(name, text)) for text in prompts for name in ("chosen", "rejected"))


def parse(row: Row, source: str, as_form: str, left_out: Counter[str]) -> list[Comparison]:
    """The comparisons in a row of that form: none if it's of no use, which is counted; `ValueError` if it's wrong."""
    for name in NEEDS[as_form]:
        if name in row.empty and name in ("chosen", "rejected"):
            row.unusable("expected a response, got none", EMPTY, name)
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
        asked, *texts = texts_or_reason
        prompt = row.offered(asked) or asked
        texts_or_reason = (
            EMPTY if not all(text.strip() for text in texts) else IDENTICAL if texts[0] == texts[1] else texts_or_reason
        )
    if isinstance(texts_or_reason, str):
        left_out[texts_or_reason] += 1
        return []
    probability = scored.pair(row, "chosen", "rejected", (texts[0], texts[1]), 1.0)
    first, second = (Response(id=response_id(prompt, text), text=text) for text in texts)
    return [Comparison(prompt=prompt, first=first, second=second, probability=probability or 0.0, source=source)]


TextsOrReason = tuple[Prompt, str, str] | str


def _trl(row: Row) -> TextsOrReason:
    if row.is_list("chosen"):
        return _conversations(row)
    answers = row.text("chosen"), row.text("rejected")
    prompt = context.read(row)
    if prompt and not row.options.format:
        _is_repeated(row, prompt, answers)
    return (prompt, *answers) if prompt else EMPTY_PROMPT


def _conversations(row: Row) -> TextsOrReason:
    """Lists of messages, whole conversations or the answers alone."""
    (before, chosen), (other, rejected) = row.conversation("chosen"), row.conversation("rejected")
    if bool(before) != bool(other) and context.has_prompt(row):
        row.answer("chosen" if before else "rejected")  # the error for it
    if before != other:
        return DIFFERENT_PROMPTS
    if before:
        prompt = as_prompt(context.agrees(row, before))
        context.unread(row, "\n".join(message.content for message in before))
    elif not context.has_prompt(row):
        context.unread(row, "")
        return NO_SHARED_PROMPT
    else:
        prompt = context.read(row)
        if prompt and prompt.text:  # beside messages a text is one
            prompt = Prompt(messages=(Message(role="user", content=prompt.text),))
    return (prompt, chosen, rejected) if prompt else EMPTY_PROMPT


def _is_repeated(row: Row, prompt: Prompt, answers: tuple[str, str]) -> None:
    """`ValueError` if both answers begin with what they answer: it can be a part of them, or stand there twice."""
    if all(answer.startswith(HH_START) for answer in answers):
        raise row.error(
            '"chosen" and "rejected" are dialogues that don\'t hold it; --format hh leaves it aside, --format trl keeps both',
            "prompt",
        )
    last = prompt.text or prompt.messages[-1].content
    if len(last.split()) > 2 and all(answer.startswith(last) for answer in answers):
        raise row.error(
            '"chosen" and "rejected" begin with it; --format trl-implicit cuts it off there, --format trl keeps it',
            "prompt",
        )


def _implicit(row: Row) -> TextsOrReason:
    if row.is_list("chosen") or row.is_list("rejected"):
        return _conversations(row)
    chosen, rejected = (row.text(name, "a string or a list of messages") for name in ("chosen", "rejected"))
    if chosen == rejected:
        return IDENTICAL
    given = row.values.get("prompt")
    if isinstance(given, str) and given.strip() and chosen.startswith(given) and rejected.startswith(given):
        row.taken.add("prompt")
        end = len(given)
    else:
        end = shared_prompt(chosen, rejected)
    prompt = as_prompt(chosen[:end])
    context.unread(row, chosen[:end])
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
        expected = 'expected a dialogue of which the last turn is "Assistant:", got'
        if not turns:
            raise row.error(f"{expected} no turns", name)
        if turns[-1].role != ASSISTANT:
            row.unusable(f'{expected} "Human:"', "the last message is the user's", name)
        sides.append(turns)
    (*before, chosen), (*other, rejected) = sides
    if before != other:
        return DIFFERENT_PROMPTS
    row.taken.update(name for name in context.PARTS if row.has(name))
    prompt = as_prompt(context.with_system(row, context.system(row), tuple(before)))
    context.unread(row, "\n".join((row.values["chosen"], *(turn.content for turn in before))))
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
