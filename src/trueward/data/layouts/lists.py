"""Layouts with many responses to a prompt: lists with scores or ranks, and trees of messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from trueward.data.formats import HH_START, split_hh
from trueward.data.layouts.layout import KnownLayout, dicts, each, is_dict, made, present, turn
from trueward.data.rows import SPEAKERS, Row
from trueward.records import ASSISTANT

FINE = "fine-grained_score"


def _is_ultrafeedback(row: Row) -> bool:
    answers = row.values.get("completions")
    return (
        row.column("instruction")
        and isinstance(answers, list)
        and all(isinstance(a, dict) and "response" in a and ("annotations" in a or FINE in a) for a in answers)
    )


def _ultrafeedback(row: Row) -> Iterable[Row]:
    """The mean of the aspects' ratings orders the answers: `overall_score` has 10 in the place of some 1."""
    answers = dicts(row.values.get("completions"))
    values = {
        "instruction": row.values.get("instruction"),
        "responses": [answer.get("response") or "" for answer in answers],
        "scores": [_score(answer) for answer in answers],
    }
    yield made(row, values, ("instruction", "completions"))


def _score(answer: dict[str, Any]) -> float | None:
    if isinstance(score := answer.get(FINE), int | float):
        return float(score)
    aspects = answer.get("annotations")
    ratings = [a.get("Rating") for a in (aspects.values() if isinstance(aspects, dict) else []) if isinstance(a, dict)]
    numbers = [float(r) for r in ratings if isinstance(r, int | float) or (isinstance(r, str) and r.strip().isdigit())]
    return sum(numbers) / len(numbers) if numbers else None


def _is_nectar(row: Row) -> bool:
    answers = dicts(row.values.get("answers"))
    return (
        str(row.values.get("prompt", "")).startswith(HH_START) and bool(answers) and all("rank" in a for a in answers)
    )


def _nectar(row: Row) -> Iterable[Row]:
    """The prompt is a dialogue in HH's form that ends where the assistant begins."""
    turns = [turn(m.role, m.content.strip()) for m in split_hh(row.values["prompt"])]
    if turns and turns[-1]["role"] == ASSISTANT and not turns[-1]["content"]:
        turns.pop()
    yield made(row, {"prompt": turns, "answers": row.values.get("answers")}, ("prompt", "answers"))


def _tree(row: Row) -> Iterable[Row]:
    yield from _rankings(row, row.values["prompt"], [], ("prompt",))


def _rankings(row: Row, node: dict[str, Any], before: list[dict[str, Any]], read: tuple[str, ...]) -> Iterator[Row]:
    """A ranking for every message of the person that has several ranked answers."""
    path = [*before, turn(SPEAKERS.get(str(node.get("role")), str(node.get("role"))), node.get("text") or "")]
    replies = [reply for reply in dicts(node.get("replies")) if not reply.get("deleted")]
    ranked = [r for r in replies if r.get("role") == ASSISTANT and isinstance(r.get("rank"), int | float)]
    if len(ranked) > 1:
        values = {
            "prompt": path,
            "responses": [r.get("text") or "" for r in ranked],
            "ranks": [r["rank"] for r in ranked],
        }
        yield made(row, values, read)
    for reply in replies:
        yield from _rankings(row, reply, path, read)


def _messages(rows: Iterable[Row]) -> Iterator[Row]:
    """The same trees with a message to each row, in any order."""
    nodes: dict[object, tuple[Row, dict[str, Any]]] = {}
    for row in rows:
        nodes[row.values.get("message_id")] = (row, {**row.values, "replies": []})
    roots = []
    for row, node in nodes.values():
        parent = nodes.get(node.get("parent_id")) if present(node.get("parent_id")) else None
        if parent:
            parent[1]["replies"].append(node)
        elif not present(node.get("parent_id")):
            roots.append((row, node))
    for row, node in roots:
        yield from _rankings(
            row, node, [], ("message_id", "parent_id", "text", "role", "rank", "deleted", "message_tree_id")
        )


def _is_messages(row: Row) -> bool:
    return all(row.column(name) for name in ("message_id", "parent_id", "text", "role"))


LISTS: dict[str, KnownLayout] = {
    "ultrafeedback": each(_is_ultrafeedback, _ultrafeedback),
    "nectar": each(_is_nectar, _nectar),
    "oasst-trees": each(lambda row: is_dict(row, "prompt", "text", "role", "replies"), _tree),
    "oasst-messages": KnownLayout(_is_messages, _messages),
}
