"""Pairs of a run's answers for people to judge: put where the studio takes them in, and matched with what came back.

A run writes a file in `asked/PROJECT/` of the studio's directory. The studio takes it into the project's open round when it is
next looked at, and makes the project if there is none. So training needs no database, in this direction either.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from trueward import artifacts
from trueward.data import jsonl
from trueward.data.snapshots import data_directory
from trueward.records import Comparison, Prompt, Record, Response, line, response_id

PREFIX = "people:"
FOLDER = "asked"
ASKS = "Which answer is better?"


class Question(Record):
    """One prompt and the answers of two models, whose order people don't see. `ours` is the policy's where one is."""

    prompt: Prompt
    ours: Response
    theirs: Response

    @property
    def key(self) -> tuple[str, object]:
        return self.prompt.id, frozenset((side.text, side.finished) for side in (self.ours, self.theirs))

    @property
    def differs(self) -> bool:
        """Whether there is anything to choose between."""
        return (self.ours.text, self.ours.finished) != (self.theirs.text, self.theirs.finished)


def question(prompt: Prompt, ours: tuple[str, bool], theirs: tuple[str, bool]) -> Question:
    """From texts, and whether each of them ended by itself. The answer key stays here."""
    plain = Prompt(text=prompt.text, messages=prompt.messages)
    sides = (Response(id=response_id(plain, text), text=text, finished=done) for text, done in (ours, theirs))
    return Question(prompt=plain, ours=next(sides), theirs=next(sides))


def keep(path: Path, questions: Sequence[Question]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    jsonl.write(path, [line(q) for q in questions])


def kept(path: Path) -> list[Question]:
    """What was kept; nothing if there is no such file."""
    return [Question.model_validate(row) for _, row in jsonl.read(path)] if path.is_file() else []


def pose(project: str, name: str, questions: Sequence[Question], data: Path | None = None) -> Path:
    """Put questions where the studio finds them; doing it twice is doing it once.

    Which answer comes first is drawn from the texts, so the order tells nothing. Equal answers are not asked about.
    """
    safe = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    path = (data or data_directory()) / FOLDER / project / f"{safe}.jsonl"
    rows = []
    for q in questions:
        if q.differs:
            drawn = (
                hashlib.sha256(f"{project}\0{q.prompt.id}\0{q.ours.text}\0{q.theirs.text}".encode()).digest()[0] < 128
            )
            first, second = (q.ours, q.theirs) if drawn else (q.theirs, q.ours)
            rows.append({"prompt": line(q.prompt), "first": line(first), "second": line(second)})
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        artifacts.write_text(path, text)
    return path


def votes(questions: Iterable[Question], said: Iterable[Comparison]) -> dict[tuple[str, object], list[float]]:
    """By question, for each vote on it whether ours was preferred: 1, 0, or ½ for a tie."""
    asked = {q.key: q for q in questions}
    found: dict[tuple[str, object], list[float]] = defaultdict(list)
    for vote in said:
        key = vote.prompt.id, frozenset((side.text, side.finished) for side in (vote.first, vote.second))
        if (q := asked.get(key)) is not None:
            is_first = (vote.first.text, vote.first.finished) == (q.ours.text, q.ours.finished)
            found[key].append(vote.probability if is_first else 1 - vote.probability)
    return found


def preferences(questions: Sequence[Question], said: Iterable[Comparison]) -> list[float | None]:
    """For each question the share of its votes that prefer ours; None where nobody has said anything yet."""
    found = votes(questions, said)
    return [sum(v) / len(v) if (v := found.get(q.key)) else None for q in questions]


def matching(questions: Sequence[Question], said: Iterable[Comparison]) -> list[Comparison]:
    """Of what people said, that which answers one of the questions."""
    asked = {q.key for q in questions}
    return [
        vote
        for vote in said
        if (vote.prompt.id, frozenset((side.text, side.finished) for side in (vote.first, vote.second))) in asked
    ]
