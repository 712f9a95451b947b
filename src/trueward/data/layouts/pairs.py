"""Layouts with two responses to a row and a column that says which is better."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from trueward.data.layouts.layout import KnownLayout, dicts, each, is_dict, made, numbered, present, signed, turn, user
from trueward.data.rows import Row

EXTRA_ID = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")
ROLES = {"User": "user", "Assistant": "assistant"}
MESSAGES = 2


def _arena(row: Row) -> Iterable[Row]:
    """Chatbot Arena's and MT-bench's: whole conversations, of which the first `turn` turns were judged."""
    v = row.values
    sides = {name: v.get(name) for name in ("conversation_a", "conversation_b")}
    if isinstance(turns := v.get("turn"), int) and turns > 0:
        sides = {n: side[: MESSAGES * turns] if isinstance(side, list) else side for n, side in sides.items()}
    judge = v.get("judge")
    annotator = judge[0] if isinstance(judge, list) and judge else judge
    yield made(
        row,
        {**sides, "winner": v.get("winner"), "annotator": annotator if present(annotator) else None},
        (*sides, "winner", "judge", "turn"),
    )


def _is_kaggle(row: Row) -> bool:
    return row.column("winner_model_a") and row.column("winner_model_b") and row.column("response_a")


def _kaggle(row: Row) -> Iterable[Row]:
    """The Arena's of Kaggle: lists of texts as JSON, and a column of 0 or 1 for each outcome."""
    names = ("prompt", "response_a", "response_b")
    asked, one, other = (_texts(row, name) for name in names)
    flags = {"winner_model_a": 1.0, "winner_model_b": 0.0, "winner_tie": 0.5}
    won = [p for name, p in flags.items() if row.has(name) and row.number_in(name, 0, 1) == 1]
    if len(won) > 1:
        row.contradiction("expected one winner, got several", "several winners", "winner_model_a")
    sides = {}
    for letter, answers in (("a", one), ("b", other)):
        turns = [
            turn(role, text)
            for pair in zip(asked, answers, strict=False)
            for role, text in zip(ROLES.values(), pair, strict=True)
        ]
        sides[f"conversation_{letter}"] = turns if all(isinstance(t["content"], str) for t in turns) else None
    yield made(row, {**sides, "probability": won[0] if won else None}, (*names, *flags))


def _texts(row: Row, name: str) -> list[Any]:
    value = row.values.get(name)
    if isinstance(value, str):
        try:
            content = json.loads(value)
        except json.JSONDecodeError:
            return [value]
        return content if isinstance(content, list) else [value]
    return value if isinstance(value, list) else []


def prompt_of_helpsteer(text: Any) -> Any:
    """HelpSteer's prompt as messages: later turns stand in it behind a mark."""
    if not isinstance(text, str):
        return text
    first, *rest = EXTRA_ID.split(text)
    turns = [turn("user", first), *(turn(ROLES[r], c) for r, c in zip(rest[::2], rest[1::2], strict=True))]
    return [t for t in turns if t["content"].strip()] if text.strip() else text


def _helpsteer_preference(row: Row) -> Iterable[Row]:
    winner, strength = signed(row, "preference_strength")
    v = row.values
    sides = {"response_a": v.get("response_1"), "response_b": v.get("response_2")}
    values = {"prompt": prompt_of_helpsteer(v.get("prompt")), **sides, "probability": winner, "strength": strength}
    yield made(row, values, ("prompt", "response_1", "response_2", "preference_strength"))


def _helpsteer3(row: Row) -> Iterable[Row]:
    winner, strength = signed(row, "overall_preference")
    v = row.values
    sides = {"response_a": v.get("response1"), "response_b": v.get("response2")}
    values = {"prompt": v.get("context"), **sides, "probability": winner, "strength": strength}
    yield made(row, values, ("context", "response1", "response2", "overall_preference"))


def _shp(row: Row) -> Iterable[Row]:
    v = row.values
    winner = numbered(row, "labels", {1: "a", 0: "b"})
    sides = {"response_a": v.get("human_ref_A"), "response_b": v.get("human_ref_B")}
    values = {"prompt": user(v.get("history")), **sides, "winner": winner}
    values |= {"score_a": v.get("score_A"), "score_b": v.get("score_B")}
    yield made(row, values, ("history", "human_ref_A", "human_ref_B", "labels", "score_A", "score_B"))


def _safe_rlhf(row: Row) -> Iterable[Row]:
    v = row.values
    winner = numbered(row, "better_response_id", {0: "a", 1: "b"})
    values = {"prompt": user(v.get("prompt")), "response_a": v.get("response_0"), "response_b": v.get("response_1")}
    yield made(row, values | {"winner": winner}, ("prompt", "response_0", "response_1", "better_response_id"))


def _webgpt(row: Row) -> Iterable[Row]:
    v = row.values
    question = v["question"]["full_text"] if is_dict(row, "question", "full_text") else v.get("question")
    values = {"prompt": user(question), "response_a": v.get("answer_0"), "response_b": v.get("answer_1")}
    values |= {"score_a": v.get("score_0"), "score_b": v.get("score_1"), "winner": None}
    yield made(row, values, ("question", "answer_0", "answer_1", "score_0", "score_1"))


def _tldr(row: Row) -> Iterable[Row]:
    """OpenAI's summaries: the prompt is the text that its models were given."""
    v, info = row.values, row.values["info"]
    if present(info.get("post")):
        prompt = f"SUBREDDIT: r/{info.get('subreddit') or ''}\nTITLE: {info.get('title') or ''}\nPOST: {info['post']}\nTL;DR:"
    else:
        prompt = f"Article: {info['article']}\nTL;DR:" if present(info.get("article")) else ""
    texts = [s.get("text") for s in dicts(v.get("summaries"))]
    texts += [None] * (2 - len(texts))
    winner = numbered(row, "choice", {0: "a", 1: "b"})
    values = {"prompt": prompt, "response_a": texts[0], "response_b": texts[1], "winner": winner}
    values["annotator"] = v.get("worker") if present(v.get("worker")) else None
    yield made(row, values, ("info", "summaries", "choice", "worker"))


def _stack(row: Row) -> Iterable[Row]:
    v = row.values
    values = {"prompt": user(v.get("question")), "chosen": v.get("response_j"), "rejected": v.get("response_k")}
    yield made(row, values, ("question", "response_j", "response_k"))


def _alpaca_eval(row: Row) -> Iterable[Row]:
    """1 is the first output, 2 the second, anything between a probability; 0 was a tie once."""
    v = row.values
    p = None
    if row.has("preference"):
        value = row.number_in("preference", 0, 2)
        if 0 < value < 1:
            raise row.error(f"expected a number from 1 to 2 (or 0, a tie), got {value:g}", "preference")
        p = 0.5 if value == 0 else 2 - value
    annotator = v.get("annotator")
    values = {k: v.get(k) for k in ("instruction", "input")}
    values |= {"response_a": v.get("output_1"), "response_b": v.get("output_2"), "probability": p}
    values["annotator"] = annotator if present(annotator) else None
    yield made(row, values, ("instruction", "input", "output_1", "output_2", "preference", "annotator"))


def _capybara(row: Row) -> Iterable[Row]:
    names = ("chosen", "rejected", "rating_chosen", "rating_rejected")
    yield made(row, {name: row.values.get(name) for name in names}, names)


def _has(*names: str) -> Any:
    return lambda row: all(row.column(name) for name in names)


def _is_tldr(row: Row) -> bool:
    return row.column("summaries") and row.column("choice") and isinstance(row.values.get("info"), dict)


def _is_capybara(row: Row) -> bool:
    talk = dicts(row.values.get("conversation"))
    return row.column("chosen") and row.column("rejected") and bool(talk) and all("input" in t for t in talk)


PAIRS: dict[str, KnownLayout] = {
    "arena": each(_has("conversation_a", "conversation_b", "winner", "model_a"), _arena),
    "arena-kaggle": each(_is_kaggle, _kaggle),
    "helpsteer2-preference": each(_has("response_1", "response_2", "preference_strength"), _helpsteer_preference),
    "helpsteer3": each(_has("context", "response1", "response2", "overall_preference"), _helpsteer3),
    "shp": each(_has("history", "human_ref_A", "human_ref_B", "labels"), _shp),
    "safe-rlhf": each(_has("response_0", "response_1", "better_response_id"), _safe_rlhf),
    "webgpt": each(_has("question", "answer_0", "answer_1", "score_0", "score_1"), _webgpt),
    "tldr": each(_is_tldr, _tldr),
    "stack-exchange-pairs": each(_has("question", "response_j", "response_k"), _stack),
    "alpaca-eval": each(_has("instruction", "output_1", "output_2", "preference"), _alpaca_eval),
    "capybara": each(_is_capybara, _capybara),
}


def _rated(rows: Iterable[Row]) -> Iterator[Row]:
    """HelpSteer 1 and 2: one response a row, with ratings; those to one prompt follow each other."""
    group: list[Row] = []
    for row in rows:
        if group and row.values.get("prompt") != group[0].values.get("prompt"):
            yield _as_ranking(group)
            group = []
        group.append(row)
    if group:
        yield _as_ranking(group)


def _as_ranking(group: list[Row]) -> Row:
    values = {
        "prompt": prompt_of_helpsteer(group[0].values.get("prompt")),
        "responses": [row.values.get("response", "") for row in group],
        "scores": [row.number_in("helpfulness", 0, 4) if row.has("helpfulness") else None for row in group],
    }
    return made(group[0], values, ("prompt", "response", "helpfulness"))


PAIRS["helpsteer2"] = KnownLayout(_has("prompt", "response", "helpfulness", "correctness"), _rated)
