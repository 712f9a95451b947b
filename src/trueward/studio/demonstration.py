"""A small project that ships, to try the Compare page with. Its pairs were written for it."""

from __future__ import annotations

import importlib.resources
import json

from sqlalchemy import Connection

from trueward.records import Prompt
from trueward.studio.store import projects

NAME = "demonstration"
INSTRUCTIONS = (
    "Which answer is more helpful? Prefer the one that is right, says what was asked for, and no more. "
    "If you can't tell, it is a tie."
)


def make(connection: Connection) -> str:
    """The project's name; it is created if it isn't there."""
    if projects.find(connection, NAME) is None:
        projects.create(connection, NAME, instructions=INSTRUCTIONS)
    project = projects.get(connection, NAME)
    text = (importlib.resources.files("trueward.studio") / "demonstration.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(row) for row in text.splitlines()]
    pairs = [
        projects.pair(Prompt(text=row["prompt"]), (row["first"], row["second"]), ("", ""), (True, True)) for row in rows
    ]
    projects.add_pairs(connection, project, pairs)
    return NAME
