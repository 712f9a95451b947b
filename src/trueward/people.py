"""`trueward evaluate RUN --people PROJECT`: people compare the run's answers with its SFT policy's, and the report says so.

The first time it asks, and every time it counts what has been said since, in the open round too.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from trueward.data.snapshots import data_directory


def evaluate(run: Path, project: str, most: int, as_json: bool) -> None:
    """Ask, count, write the report again, and say what is known."""
    from trueward.config.schema import PROJECT

    if not PROJECT.match(project):
        raise ValueError(f"--people {project}: expected the name of a studio's project")
    if not (run / "report.json").is_file():
        raise ValueError(f"{run}: has no report yet; `trueward run` makes one")
    from trueward.data import jsonl, questions
    from trueward.instruments import people_words
    from trueward.records import line
    from trueward.workflow import people

    people.ask(run, project, most)
    votes = people.said(run, project)
    if importlib.util.find_spec("sqlalchemy"):  # without the studio's extra, what is in closed rounds is all there is
        everything = [q for each in people.asked(run).values() for q in each]
        votes = questions.matching(everything, live(project))
        jsonl.write(run / people.FOLDER / people.VOTES, [line(vote) for vote in votes])
    found = people.write(run, project, votes)
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=1))
        return
    for text in people_words.sentences(found):
        print(text.replace("\u00a0", " "))
    if not found["complete"]:
        print(f"Judge the others in `trueward studio`, project {project}; this command counts them again.")
    print(f"The whole report: {run / 'report.html'}")


def live(project: str) -> list[Any]:
    """All answers that count in a project by now, the open round's too; it is made if it isn't there."""
    from trueward.studio.store import counts, projects, rounds
    from trueward.studio.store.database import Database
    from trueward.studio.store.inbox import Inbox

    data = data_directory()
    base = Database(data, os.environ.get("TRUEWARD_DATABASE", ""))
    try:
        inbox = Inbox(data)
        inbox.take_in(base)
        for path, wrong in inbox.refused.items():
            if path.parent.name == project:
                raise ValueError(wrong)
        with base.reading() as connection:
            found = projects.find(connection, project)
            if found is None:
                return []
            votes = [v for v in counts.votes(connection, found.id) if v.check_id is None]
            texts = rounds.responses(connection, votes)
            return [rounds.comparison(project, vote, texts) for vote in votes]
    finally:
        base.close()
