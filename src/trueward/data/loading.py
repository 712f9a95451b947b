"""Demonstrations and prompts from a file, a folder or a Hugging Face data set, checked row by row.

Nothing is dropped in silence: a row that can't be used is counted with the reason, a wrong one is an error that says
where it is. The package `datasets` is needed for data sets and folders alone, and imported when one is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from trueward.artifacts import expanded
from trueward.data import cells, compressed, context, hub, llama_factory, tables
from trueward.data.options import HALF, ReadOptions
from trueward.data.rows import Row, UnusableRowError, as_prompt
from trueward.records import Demonstration, Message, Prompt

T = TypeVar("T")

DEMONSTRATIONS = 'understood are {"prompt", "completion"} and {"messages"}'
DISLIKED = "label is false"
PROMPTS = 'understood are {"prompt"} and {"messages"}'
ANSWERS = ("output", "response", "answer", "solution")
"""Columns with the answer, beside a question in a column of `context.ASKING` or `input`."""
FIELDS = ("prompt", "completion", "messages", "text", "label", "tools", *ANSWERS, *context.KNOWN)
"""All columns that are read; others are ignored, and counted."""
OF_PROMPTS = ("prompt", "messages", "answer", *context.KNOWN)
"""Those of a file of prompts."""
NOT_KEPT = ("prompt", "completion", "completion_ids")
"""Columns that a scorer of TRL's form is handed otherwise."""


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """The usable rows of some files.

    `left_out` counts the rows that could not be used, by reason; `ignored` the rows with a value in a column that
    isn't read, by column; `files` are those that were read, for a fingerprint; `unusable` of `read` rows held no record;
    `where` is the place of each row, as errors name it, where that is known.
    """

    rows: list[T]
    left_out: Counter[str]
    files: list[Path]
    ignored: Counter[str] = field(default_factory=Counter)
    unusable: int = 0
    read: int = 0
    where: list[str] = field(default_factory=list)


def demonstrations(source: str, *, base: Path = Path(), options: ReadOptions | None = None) -> Loaded[Demonstration]:
    """Prompts with responses to imitate.

    `source` is a file (JSONL, CSV, Parquet...) or a folder (relative to `base`), or a Hugging Face data set `owner/name`; the
    latter two take `:split` at the end, else it is train, and the last one `:configuration` before it. `ValueError` in one
    line if there's no such thing, a row is wrong, or more of the rows can't be used than the options tolerate.
    """
    return _load(source, base, _demonstration, (options or ReadOptions()).for_columns(FIELDS))


def prompts(source: str, *, base: Path = Path(), options: ReadOptions | None = None) -> Loaded[Prompt]:
    """Prompts to answer, from the same sources; a demonstration counts by its prompt."""
    return _load(source, base, _prompt, (options or ReadOptions()).for_columns(OF_PROMPTS))


def used(name: str, loaded: Loaded[T], tolerate: float = HALF) -> Loaded[T]:
    """`loaded` as it is, if it holds a usable row and no more unusable ones than tolerated; otherwise `ValueError`. `name`:
    what the error calls the source."""
    reasons = ", ".join(f"{reason} {count}" for reason, count in loaded.left_out.items())
    if loaded.rows and loaded.unusable > tolerate * loaded.read:
        raise ValueError(
            f"{name}: {loaded.unusable:,} of {loaded.read:,} rows can't be used ({reasons}), more than the share {tolerate:g}; "
            "--tolerate SHARE, or data.tolerate in a recipe, lets more of them be left out"
        )
    if loaded.rows:
        return loaded
    if loaded.left_out:
        raise ValueError(f"{name}: no row can be used ({reasons})")
    raise ValueError(f"{name}: expected at least one row, got {'an empty file' if loaded.files else 'none'}")


def demonstrations_of(rows: Iterable[Row], name: str, options: ReadOptions) -> Loaded[Demonstration]:
    """Prompts with responses to imitate, from rows in memory; `name` is what errors call them."""
    return _collect(rows, _demonstration, name, [], Counter(), options.for_columns(FIELDS))


def prompts_of(rows: Iterable[Row], name: str, options: ReadOptions) -> Loaded[Prompt]:
    """Prompts from rows in memory; `name` is what errors call them."""
    return _collect(rows, _prompt, name, [], Counter(), options.for_columns(OF_PROMPTS))


def _load(source: str, base: Path, parse: Callable[[Row], T | str], options: ReadOptions) -> Loaded[T]:
    ignored: Counter[str] = Counter()
    rows, files = _open(source, base, ignored, options)
    place = base / expanded(source)
    return _collect(rows, parse, str(place) if place.exists() else source, files, ignored, options)


def _collect(
    rows: Iterable[Row],
    parse: Callable[[Row], T | str],
    name: str,
    files: list[Path],
    ignored: Counter[str],
    options: ReadOptions,
) -> Loaded[T]:
    unique: dict[T, T] = {}
    where: list[str] = []
    left_out: Counter[str] = Counter()
    read = unusable = 0
    for row in rows:
        read += 1
        try:
            other = _kept(row.values) if options.keep else {}
            record = parse(row.use(options))
        except UnusableRowError as problem:
            record = problem.reason
        if isinstance(record, str):
            left_out[record] += 1
            unusable += record != DISLIKED  # judged, and of no use here
        elif record in unique:
            left_out["repeated"] += 1
        else:
            unique[record] = _with(record, other)
            where.append(row.where)
        ignored.update(row.ignored() - other.keys())
    return used(name, Loaded(list(unique.values()), left_out, files, ignored, unusable, read, where), options.tolerate)


def _kept(values: dict[str, Any]) -> dict[str, Any]:
    """The columns that a prompt keeps for scorers: all that JSON can hold."""
    return {name: value for name, value in values.items() if name not in NOT_KEPT and cells.is_json(value)}


def _with(record: T, columns: dict[str, Any]) -> T:
    """A prompt or a demonstration with its row's other columns, which don't tell it from another."""
    if not columns:
        return record
    if isinstance(record, Prompt):
        return record.model_copy(update={"columns": columns})
    if isinstance(record, Demonstration):
        return record.model_copy(update={"prompt": _with(record.prompt, columns)})
    return record


def _open(source: str, base: Path, ignored: Counter[str], options: ReadOptions) -> tuple[Iterator[Row], list[Path]]:
    if not source.strip():
        raise ValueError("expected a file, a folder or a Hugging Face data set, got an empty name")
    path = base / expanded(source)
    if llama_factory.is_one(path):
        return llama_factory.rows(path)
    if any(compressed.ending(path) in endings for endings in tables.CONTAINERS.values()) and not path.is_dir():
        return tables.rows(path), [path]
    if path.is_file():
        raise ValueError(f"{path}: expected a .jsonl file, got {path.suffix or 'a file without an ending'}")
    data, files = hub.load(source, base)
    return _rows(data, source, ignored, options), files


def _rows(data: Any, source: str, ignored: Counter[str], options: ReadOptions) -> Iterator[Row]:
    names = list(data.column_names)
    if options.keep or options.columns:
        yield from (Row.of(f"{source}, row {number}", values, number) for number, values in enumerate(data, 1))
        return
    ignored.update({name: len(data) for name in names if name not in FIELDS})
    if not (known := [name for name in names if name in FIELDS]) or all(name in ANSWERS for name in known):
        raise ValueError(f'{source}: expected the column "prompt" or "messages", got {", ".join(names) or "none"}')
    for number, values in enumerate(data.select_columns(known), 1):
        yield Row.of(f"{source}, row {number}", values, number)


def _demonstration(row: Row) -> Demonstration | str:
    before: Prompt | None
    if (
        row.column("completion")
        and row.column("prompt")
        and not row.has("prompt", "completion")
        and not row.has("messages")
    ):
        return "empty prompt" if row.has("completion") else "empty completion"
    if row.has("prompt", "completion"):
        before = _told(row, row.prompt())
        response = row.answer("completion") if row.is_list("prompt") else row.text("completion")
    elif row.has("messages"):
        messages, response = row.conversation("messages")
        before = _told(row, as_prompt(messages))
    elif row.column("messages"):
        return "no messages"
    elif (talk := _talk(row)) and not _question(row):
        messages, response = row.conversation(talk)
        before = as_prompt(context.with_system(row, context.system(row), messages))
    elif (asked := _question(row)) and (name := _answer(row, asked)):
        if not row.has(name):
            return "empty completion"
        before, response = row.offered(context.read(row)), row.answer(name)
        return Demonstration(prompt=before, response=response) if before and response.strip() else _empty(before)
    else:
        raise _not_understood(row, DEMONSTRATIONS)
    if row.values.get("label") is False:  # a response that was judged to be bad is no example
        row.taken.add("label")
        return DISLIKED
    before = row.keyed(before)
    if not before:
        return "empty prompt"
    return Demonstration(prompt=before, response=response) if response.strip() else "empty completion"


def _told(row: Row, prompt: Prompt | None) -> Prompt | None:
    """The prompt behind the system's message, where a column holds one; a text then is the user's."""
    if prompt is None or not (text := context.system(row)):
        return prompt
    return as_prompt(context.with_system(row, text, prompt.messages or (Message(role="user", content=prompt.text),)))


def _empty(before: Prompt | None) -> str:
    return "empty completion" if before else "empty prompt"


def _talk(row: Row) -> str:
    """The column of a whole conversation by another name than `messages` (ShareGPT's)."""
    return next(
        (
            n
            for n in context.EARLIER
            if isinstance(v := row.values.get(n), list) and v and all(map(cells.is_message, v))
        ),
        "",
    )


def _question(row: Row) -> str:
    """The column with the question, if there's one (Alpaca's `instruction`...)."""
    return next((name for name in (*context.ASKING, "input") if row.column(name)), "")


def _answer(row: Row, question: str) -> str:
    """The column with its answer. `answer` is a key for verifiers where a `prompt` is beside it."""
    names = [name for name in ANSWERS if row.column(name) and not (name == "answer" and row.column("prompt"))]
    if len(names) > 1:
        raise row.error(f'beside "{names[0]}" it may be the answer to "{question}" too', names[1])
    return names[0] if names else ""


def _prompt(row: Row) -> Prompt | str:
    if row.has("messages") and not row.has("prompt", "completion"):
        return row.keyed(_told(row, as_prompt(_without_answer(row.messages("messages"))))) or "empty prompt"
    if row.has("prompt"):
        row.taken.add("completion")
        return row.keyed(_told(row, row.prompt())) or "empty prompt"
    if row.column("prompt", "messages"):
        return "empty prompt"
    if (talk := _talk(row)) and not _question(row):
        asked = context.with_system(row, context.system(row), _without_answer(row.messages(talk)))
        return row.keyed(as_prompt(asked)) or "empty prompt"
    if _question(row):
        row.taken.update(ANSWERS)
        return row.keyed(context.read(row)) or "empty prompt"
    raise _not_understood(row, PROMPTS)


def _without_answer(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    return messages[:-1] if messages and messages[-1].role == "assistant" else messages


def _not_understood(row: Row, understood: str) -> ValueError:
    if row.has("text"):
        return row.error(f"expected a prompt and its answer, got running text; {understood}", "text")
    for name in ("prompt", "completion"):
        if row.has(name):
            return row.error(f'missing field "{"completion" if name == "prompt" else "prompt"}"; {understood}')
    fields = ", ".join(f'"{name}"' for name in row.values) or "none"
    return row.error(f'missing field "prompt" (its fields: {fields}); {understood}')
