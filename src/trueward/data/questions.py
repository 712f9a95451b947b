"""Pairs of responses for people to compare: handed to a studio, and matched with the votes that came back.

A run writes a file in `asked/PROJECT/` of the studio's directory. The studio adds it to the project's open round at its next
request, and makes the project if there is none. So training needs no database, in this direction either.
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
FOLDER = "asked"  # in the studio's directory
ASKS = "Which answer is better?"


class PeoplePair(Record):
    """One prompt and a response by each of two models; people don't see which is whose. `ours`: the policy's, if it is one."""

    prompt: Prompt
    ours: Response
    theirs: Response

    @property
    def key(self) -> tuple[str, object]:
        """What identifies the pair, whichever side comes first: the id of the prompt and both (text, finished)."""
        return self.prompt.id, frozenset((side.text, side.finished) for side in (self.ours, self.theirs))

    @property
    def differs(self) -> bool:
        """Whether there is anything to choose between."""
        return (self.ours.text, self.ours.finished) != (self.theirs.text, self.theirs.finished)


def people_pair(prompt: Prompt, ours: tuple[str, bool], theirs: tuple[str, bool]) -> PeoplePair:
    """From (text, finished) of each side. The answer key is left out: people are not shown it."""
    plain = Prompt(text=prompt.text, messages=prompt.messages, tools=prompt.tools)
    sides = (Response(id=response_id(plain, text), text=text, finished=done) for text, done in (ours, theirs))
    return PeoplePair(prompt=plain, ours=next(sides), theirs=next(sides))


def save_pairs(path: Path, questions: Sequence[PeoplePair]) -> None:
    """Write pairs to a file of the run, so that votes can be matched later."""
    path.parent.mkdir(parents=True, exist_ok=True)
    jsonl.write(path, [line(q) for q in questions])


def read_pairs(path: Path) -> list[PeoplePair]:
    """The pairs in a file that `save_pairs` wrote; none if there is no such file."""
    return [PeoplePair.model_validate(row) for _, row in jsonl.read(path)] if path.is_file() else []


def pose(project: str, name: str, questions: Sequence[PeoplePair], data: Path | None = None) -> Path:
    """Hand pairs to the studio; a second call with the same pairs changes nothing.

    Which response comes first is drawn from a hash of the texts. Pairs of equal responses are left out.
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


def votes(questions: Iterable[PeoplePair], cast_votes: Iterable[Comparison]) -> dict[tuple[str, object], list[float]]:
    """By pair, for each vote on it whether ours was preferred: 1, 0, or ½ for a tie."""
    by_key = {q.key: q for q in questions}
    shares: dict[tuple[str, object], list[float]] = defaultdict(list)
    for vote in cast_votes:
        key = vote.prompt.id, frozenset((side.text, side.finished) for side in (vote.first, vote.second))
        if (q := by_key.get(key)) is not None:
            is_first = (vote.first.text, vote.first.finished) == (q.ours.text, q.ours.finished)
            shares[key].append(vote.probability if is_first else 1 - vote.probability)
    return shares


def preferences(questions: Sequence[PeoplePair], cast_votes: Iterable[Comparison]) -> list[float | None]:
    """For each pair the share of its votes that prefer ours; None without a vote."""
    by_pair = votes(questions, cast_votes)
    return [sum(v) / len(v) if (v := by_pair.get(q.key)) else None for q in questions]


def matching(questions: Sequence[PeoplePair], cast_votes: Iterable[Comparison]) -> list[Comparison]:
    """The votes on one of these pairs."""
    keys = {q.key for q in questions}
    return [
        vote
        for vote in cast_votes
        if (vote.prompt.id, frozenset((side.text, side.finished) for side in (vote.first, vote.second))) in keys
    ]
