"""Layouts of tools in which people compare answers: Label Studio's and Argilla's exports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from trueward.data.layouts.layout import KnownLayout, dicts, each, made, present, user
from trueward.data.rows import Row

ANSWERS = (
    ("answer1", "answer2"),
    ("response1", "response2"),
    ("response_a", "response_b"),
    ("answer_a", "answer_b"),
    ("response-1", "response-2"),
    ("response_1", "response_2"),
    ("left", "right"),
)
FIRST, SECOND = ("left", "a", "1", "first"), ("right", "b", "2", "second")
TIES = ("tie", "equal", "both", "same", "draw")


def _pair(values: dict[str, Any]) -> tuple[str, str] | None:
    return next((pair for pair in ANSWERS if set(pair) <= values.keys()), None)


def _winner(value: Any, names: tuple[str, str]) -> str | None:
    """`a`, `b` or `tie`; a word that is none of the known ones as it is, which then is an error."""
    if not isinstance(value, str | int) or not present(value):
        return None
    word = str(value).strip().lower()
    for winner, words in (("a", (*FIRST, names[0])), ("b", (*SECOND, names[1])), ("tie", TIES)):
        if word in words:
            return winner
    return str(value)


def _is_label_studio(row: Row) -> bool:
    data = row.values.get("data")
    return isinstance(row.values.get("annotations"), list) and isinstance(data, dict) and _pair(data) is not None


def _label_studio(row: Row) -> Iterable[Row]:
    """A row for each annotation that wasn't cancelled; a task without any is one that nobody judged."""
    data = row.values["data"]
    names = _pair(data) or ANSWERS[0]
    shared = {"prompt": _asked(data), "response_a": data[names[0]], "response_b": data[names[1]]}
    kept = [a for a in dicts(row.values["annotations"]) if not a.get("was_cancelled")]
    for annotation in kept or [{}]:
        by = annotation.get("completed_by")
        by = by.get("email") or by.get("id") if isinstance(by, dict) else by
        values = {
            **shared,
            "winner": _winner(_selected(annotation), names),
            "annotator": str(by) if present(by) else None,
        }
        yield made(row, values, ("data", "annotations"))


def _selected(annotation: dict[str, Any]) -> Any:
    for result in dicts(annotation.get("result")):
        value = result.get("value")
        if isinstance(value, dict):
            chosen = value.get("selected") or value.get("choices")
            if chosen:
                return chosen[0] if isinstance(chosen, list) else chosen
    return None


def _asked(data: dict[str, Any]) -> Any:
    return user(
        next((data[name] for name in ("prompt", "question", "instruction", "text") if present(data.get(name))), None)
    )


def _is_argilla(row: Row) -> bool:
    return _pair(row.values) is not None and _answered(row) is not None


def _answered(row: Row) -> str | None:
    """The question's name: a column with people's answers, one to each person."""
    for name, value in row.values.items():
        if name.endswith(".responses") and isinstance(value, list):
            return name
        if dicts(value) and all({"user_id", "value"} <= answer.keys() for answer in dicts(value)):
            return name
    return next((name for name in row.empty if name.endswith(".responses")), None)


def _argilla(row: Row) -> Iterable[Row]:
    """A row for each submitted answer; drafts and discarded ones are none."""
    v, name, names = row.values, _answered(row), _pair(row.values)
    if name is None or names is None:
        raise row.error("expected two responses and a column of answers, as the first row has")
    shared = {"prompt": _asked(v), "response_a": v.get(names[0]), "response_b": v.get(names[1])}
    read = (*names, name, "prompt", "question", "instruction", f"{name}.users", f"{name}.status")
    answers = v.get(name) or []
    if dicts(answers):
        given = [(a.get("value"), a.get("user_id"), a.get("status")) for a in dicts(answers)]
        ranked = [a for a in dicts(answers) if "rank" in a]
        given = [(ranked, None, None)] if ranked else given
    else:
        users, states = (v.get(f"{name}.{key}") or [None] * len(answers) for key in ("users", "status"))
        given = list(zip(answers, users, states, strict=False))
    given = [one for one in given if one[2] in (None, "submitted")]
    for value, by, _ in given or [(None, None, None)]:
        winner = _better(value, names) if dicts(value) else _winner(value, names)
        yield made(row, {**shared, "winner": winner, "annotator": str(by) if present(by) else None}, read)


def _better(ranking: Any, names: tuple[str, str]) -> str | None:
    """Of a ranking of the two by name, the lower one."""
    ranks = {str(item.get("value")): item.get("rank") for item in dicts(ranking)}
    one, other = (ranks.get(name) for name in names)
    if not isinstance(one, int | float) or not isinstance(other, int | float):
        return None
    return "tie" if one == other else "a" if one < other else "b"


EXPORTS: dict[str, KnownLayout] = {
    "label-studio": each(_is_label_studio, _label_studio),
    "argilla": each(_is_argilla, _argilla),
}
