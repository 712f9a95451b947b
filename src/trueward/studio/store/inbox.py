"""Pairs that runs send to people: files in `asked/PROJECT/`, imported into the project's open round."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Connection
from sqlalchemy.exc import DataError

from trueward.data import jsonl
from trueward.data.questions import ASKS, FOLDER
from trueward.records import Prompt, Response
from trueward.studio.store import projects, settings
from trueward.studio.store.database import Database
from trueward.studio.store.projects import Pair


@dataclass
class Inbox:
    """The files of one studio's directory, each imported again whenever it is rewritten.

    A pair is in a project once however often a run sends it, so importing a file again is harmless. An unusable file
    is listed in `refused` with the reason, in one line, and doesn't block others.
    """

    data: Path
    seen: dict[Path, int] = field(default_factory=dict)
    refused: dict[Path, str] = field(default_factory=dict)
    turn: threading.Lock = field(default_factory=threading.Lock)

    def take_in(self, database: Database) -> int:
        """Import new files, creating projects that are missing; returns the number of new pairs."""
        added = 0
        for path in sorted((self.data / FOLDER).glob("*/*.jsonl")):
            with self.turn:
                changed = path.stat().st_mtime_ns
                if self.seen.get(path) == changed:
                    continue
                try:
                    pairs = read(path)
                    # mypy can't type a lambda's defaults, which bind this turn's file
                    added += database.write(lambda c, path=path, pairs=pairs: put(c, path.parent.name, pairs))  # type: ignore[misc]
                    self.refused.pop(path, None)
                except ValueError as error:
                    self.refused[path] = str(error)
                except DataError:
                    self.refused[path] = (
                        f"{path}: the database can't keep a value of it: too long, or with a NUL character"
                    )
                self.seen[path] = changed
        return added


def put(connection: Connection, project: str, pairs: list[Pair]) -> int:
    """Add pairs to a project, created if it isn't there; returns how many were new. `ValueError` for one of another kind."""
    target = projects.find(connection, project)
    if target is None:
        projects.create(connection, project, instructions=ASKS)
        target = projects.get(connection, project)
    if target.kind != "compare":
        raise ValueError(
            f"project {project}: is one to {projects.KINDS[target.kind]} in, and a run asks which answer is better"
        )
    added = projects.add_pairs(connection, target, pairs)
    if added and target.archived:  # a run waits for these: where nobody works, it would wait for ever
        settings.change(connection, target, archived=False)
    return added


def read(path: Path) -> list[Pair]:
    """The pairs of a file. `ValueError` names its line."""
    pairs = []
    for number, row in jsonl.read(path):
        try:
            sides = [Response.model_validate(row[side]) for side in ("first", "second")]
            pairs.append(Pair(Prompt.model_validate(row["prompt"]), sides[0], sides[1]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}, line {number}: no pair to judge ({str(error).splitlines()[0]})") from None
    return pairs
