"""Comparisons in one row of plain columns, the form of a table (`table`): a spreadsheet's, CSV's and Parquet's.

With the columns `first` and `second` it holds all that trueward's own form does. `response_a`, `response_b` and `winner`
(and whole `conversation_a`, `conversation_b`, as in the Chatbot Arena) are read too.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Literal

from trueward.data import context, scored
from trueward.data.rows import Row, as_prompt
from trueward.records import Comparison, Message, Prompt, Response, response_id

OWN = ("first", "second")
SIDES = (
    OWN,
    ("response_a", "response_b"),
    ("conversation_a", "conversation_b"),
    ("answer_a", "answer_b"),
    ("completion_a", "completion_b"),
    ("output_a", "output_b"),
)
IDENTICAL, EMPTY, EMPTY_PROMPT = "identical responses", "empty response", "empty prompt"
DIFFERENT_PROMPTS = "the two responses answer different prompts"
WINNERS = {
    **dict.fromkeys(("a", "first", "model_a", "response_a"), 1.0),
    **dict.fromkeys(("b", "second", "model_b", "response_b"), 0.0),
    **dict.fromkeys(("tie", "tie (bothbad)", "both_bad"), 0.5),
}
CHECKS: dict[str, Literal["first", "second"] | None] = {
    "first": "first",
    "second": "second",
    "a": "first",
    "b": "second",
}
FURTHER = ("winner", "probability", "strength", "source", "annotator", "group", "check", "first_id", "second_id")
STRENGTHS: dict[float, Literal[1, 2, 3]] = {1.0: 1, 2.0: 2, 3.0: 3}
YES = {"true": True, "false": False, "1": True, "0": False}


def sides(row: Row) -> tuple[str, str] | None:
    """The two columns that hold the responses, if the row has such."""
    columns = next((pair for pair in SIDES if all(row.column(name) for name in pair)), None)
    if columns == OWN and not all(isinstance(row.values.get(name), str) for name in OWN):
        return None
    return columns


def parse(row: Row, source: str, left_out: Counter[str]) -> list[Comparison]:
    """The row's comparison; none, and the reason counted, if it's of no use. `ValueError` if the row is wrong."""
    names = sides(row)
    if names is None:
        raise row.error('expected two responses, as "first" and "second" or as "response_a" and "response_b"')
    row.taken.update(FURTHER, (f"{name}_finished" for name in OWN))
    if not row.has(*names):
        row.unusable("expected two responses", EMPTY)
    texts_or_reason = _texts(row, names)
    probability = _probability(row, names)
    if isinstance(texts_or_reason, str):
        left_out[texts_or_reason] += 1
        return []
    prompt, texts = texts_or_reason
    if names != OWN and not all(text.strip() for text in texts):
        left_out[EMPTY] += 1
        return []
    finished = [row.word(f"{n}_finished", YES) if row.has(f"{n}_finished") else True for n in OWN]
    if (texts[0], finished[0]) == (texts[1], finished[1]):
        left_out[IDENTICAL] += 1
        return []
    ids = [row.name(f"{name}_id") for name in OWN]
    one, two = (
        Response(id=id or response_id(prompt, text), text=text, finished=ended)
        for id, text, ended in zip(ids, texts, finished, strict=True)
    )
    return [
        Comparison(
            prompt=prompt,
            first=one,
            second=two,
            probability=probability,
            strength=_strength(row),
            source=row.name("source") or source,
            annotator=row.name("annotator"),
            group=row.name("group"),
            check=row.word("check", CHECKS) if row.has("check") else None,
        )
    ]


def _texts(row: Row, names: tuple[str, str]) -> tuple[Prompt, tuple[str, str]] | str:
    if row.is_list(names[0]) or row.is_list(names[1]):
        (before, one), (other, two) = (row.conversation(name) for name in names)
        if before != other:
            return DIFFERENT_PROMPTS
        if before:
            prompt = as_prompt(context.agrees(row, before))
            return (row.offered(prompt) or prompt, (one, two)) if prompt else EMPTY_PROMPT
    else:
        one, two = (row.text(name) for name in names)
    if row.has("messages"):
        messages = row.messages("messages")
        prompt = Prompt(messages=messages) if messages and names == OWN else as_prompt(messages)
    elif names == OWN and isinstance(row.values.get("prompt"), str) and row.values["prompt"]:
        prompt = Prompt(text=row.text("prompt"))
    else:
        prompt = context.read(row)
    return (row.offered(prompt) or prompt, (one, two)) if prompt else EMPTY_PROMPT


def _probability(row: Row, names: tuple[str, str]) -> float:
    """By the columns `probability`, `winner` and scores, which have to agree."""
    claims = []
    if row.has("probability"):
        claims.append(("probability", row.number_in("probability", 0, 1)))
    if row.has("winner") and row.values["winner"] != "":
        claims.append(("winner", row.word("winner", WINNERS)))
    if len(claims) == 2 and (claims[0][1] - 0.5) * (claims[1][1] - 0.5) < 0:
        row.contradiction('expected the one that "probability" is for', "probability and winner disagree", "winner")
    claimed = claims[0][1] if claims else None
    scores = scored.pair(row, *names, ("", ""), None if claimed == 0.5 else claimed)
    if claimed is not None or scores is not None:
        return scores if claimed is None and scores is not None else claimed or 0.0
    if row.column("winner", "probability"):
        row.unusable("expected a winner, got none", scored.UNJUDGED, "winner")
    raise row.error('missing field "winner" (or "probability")')


def _strength(row: Row) -> Literal[1, 2, 3] | None:
    if not row.has("strength"):
        return None
    value = row.number_in("strength", 1, 3)
    if value not in STRENGTHS:
        raise row.error(f"expected 1, 2 or 3, got {row.values['strength']}", "strength")
    return STRENGTHS[value]


def _plain(message: Message) -> dict[str, str]:
    """Calls as JSON text: a column has one form of object, and each function has its own arguments."""
    values = message.model_dump(mode="json")
    return {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in values.items()}


def row_of(comparison: Comparison) -> dict[str, Any]:
    """All of a comparison in plain columns; empty ones are left out."""
    c = comparison
    prompt: dict[str, Any] = {"prompt": c.prompt.text}
    if c.prompt.messages:
        prompt = {"messages": [_plain(message) for message in c.prompt.messages]}
        prompt |= {"tools": json.dumps(c.prompt.tools, ensure_ascii=False)} if c.prompt.tools else {}
    further = {
        "strength": c.strength,
        "annotator": c.annotator,
        "group": c.group,
        "check": c.check,
        "first_finished": None if c.first.finished else False,
        "second_finished": None if c.second.finished else False,
    }
    return {
        **prompt,
        "first": c.first.text,
        "second": c.second.text,
        "probability": c.probability,
        "source": c.source,
        "first_id": c.first.id,
        "second_id": c.second.id,
        **{name: value for name, value in further.items() if value is not None},
    }
