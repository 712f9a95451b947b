"""Answers that were judged alone, by a thumb up or down: read, checked and written as what they are.

There are no pairs in them, and none is made up: two answers to different prompts aren't comparable, and a thumb up is no
better than another. Demonstrations are what a recipe can take from them: the answers that were liked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trueward.data import context, hub, jsonl, llama_factory, tables
from trueward.data.loading import Loaded, used
from trueward.data.options import ReadOptions
from trueward.data.rows import Row, UnusableRowError
from trueward.records import Feedback

ANSWERS = ("completion", "response", "output", "answer")
THUMBS = ("label", "thumb", "thumbs", "thumbs_up", "liked", "vote", "feedback")
WORDS = {
    **dict.fromkeys(
        ("true", "1", "1.0", "+1", "up", "thumbs_up", "thumbs up", "thumbsup", "like", "liked", "good", "👍"), True
    ),
    **dict.fromkeys(("false", "0", "0.0", "-1", "-1.0", "down", "thumbs_down", "thumbs down", "thumbsdown"), False),
    **dict.fromkeys(("dislike", "disliked", "bad", "👎"), False),
}
UNJUDGED, EMPTY, EMPTY_PROMPT = "not judged", "empty response", "empty prompt"


def is_feedback(source: str, format: str = "") -> bool:
    """Whether the first row has one answer and a thumb, and no second answer."""
    row = next(_rows(source, format)[0], None)
    return row is not None and _names(row) is not None


def _rows(source: str, format: str) -> tuple[Iterator[Row], list[Path]]:
    if llama_factory.is_one(source):
        return llama_factory.rows(source)
    if source.startswith("hf:"):
        return hub.rows(source.removeprefix("hf:"))
    return tables.rows(Path(source), format if format in tables.CONTAINERS else ""), [Path(source)]


def _names(row: Row) -> tuple[str, str] | None:
    """The answer's column and the thumb's."""
    answer = next((name for name in ANSWERS if row.column(name)), None)
    thumb = next((name for name in THUMBS if row.column(name)), None)
    if answer is None or thumb is None or not context.has_prompt(row) or row.column("chosen", "rejected", "response_a"):
        return None
    value = row.values.get(thumb)
    return (answer, thumb) if value is None or _word(value) in WORDS else None


def _word(value: Any) -> str:
    return str(value).strip().lower() if isinstance(value, bool | int | float | str) else ""


def read(source: str, format: str = "", options: ReadOptions | None = None) -> Loaded[Feedback]:
    """The judged answers of a file or data set. `ValueError` names a row that is wrong, and a file without a usable one."""
    options = options or ReadOptions()
    source_rows, files = _rows(source, format)
    rows: list[Feedback] = []
    left_out: Counter[str] = Counter()
    ignored: Counter[str] = Counter()
    count = 0
    for row in source_rows:
        count += 1
        try:
            rows.append(_feedback(row.use(options)))
        except UnusableRowError as problem:
            left_out[problem.reason] += 1
        ignored.update(row.ignored())
    return used(source, Loaded(rows, left_out, files, ignored, count - len(rows), count), options.tolerate)


def _feedback(row: Row) -> Feedback:
    names = _names(row)
    if names is None:
        raise row.error(
            f"expected one answer ({', '.join(ANSWERS)}) and a thumb ({', '.join(THUMBS)}), as the first row has"
        )
    answer, thumb = names
    if not row.has(answer):
        row.unusable("expected an answer, got none", EMPTY, answer)
    if not row.has(thumb) or row.values[thumb] == "":
        row.unusable("expected a thumb, got none", UNJUDGED, thumb)
    row.taken.add(thumb)
    response, prompt = row.answer(answer), row.offered(context.read(row))
    if prompt is None:
        row.unusable("expected a prompt, got none", EMPTY_PROMPT)
    if not response.strip():
        row.unusable("expected an answer, got none", EMPTY, answer)
    return Feedback(
        prompt=prompt, response=response, liked=WORDS[_word(row.values[thumb])], annotator=row.name("annotator")
    )


def save(path: Path, rows: Sequence[Feedback]) -> None:
    """TRL's unpaired form, which `data.demonstrations` reads too: `label` is true where the thumb is up."""
    lines = []
    for row in rows:
        messages = [message.model_dump(mode="json") for message in row.prompt.messages]
        completion: Any = [{"role": "assistant", "content": row.response}] if messages else row.response
        values = {"prompt": messages or row.prompt.text, "completion": completion, "label": row.liked}
        tools = {"tools": list(row.prompt.tools)} if row.prompt.tools else {}
        lines.append(values | tools | ({"annotator": row.annotator} if row.annotator else {}))
    jsonl.write(path, lines)
