"""`trueward evaluate RUN --people PROJECT`: people compare a run's answers with its SFT policy's.

The first call sends the pairs to the studio; every call counts the votes so far, the open round's too, and updates the report.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from trueward.console import as_json as as_json_text
from trueward.data.snapshots import data_directory


def evaluate(run: Path, project: str, most: int, judge: str, points: float, as_json: bool) -> None:
    """Send the pairs, count the votes, write the report again and print the result.

    judge: who judges all pairs of the evaluation, beside people; empty: nobody, or who did before. points: half the width,
    in percentage points, that clicks are planned for.
    """
    from trueward.config.schema import PROJECT

    if not PROJECT.fullmatch(project):
        raise ValueError(f"--people {project}: expected the name of a studio's project")
    if not (run / "report.json").is_file():
        raise ValueError(f"{run}: has no report yet; `trueward run` makes one")
    from trueward.data import jsonl, questions
    from trueward.pipeline import human_eval, judged_pairs
    from trueward.progress import Progress, terminal_progress
    from trueward.records import line
    from trueward.reporting import people_text

    if judge:
        with nullcontext(Progress()) if as_json else terminal_progress() as progress:
            judged_pairs.judge_run(run, judge, progress, lambda text: print(text, file=sys.stderr))
    human_eval.post_pairs(run, project, most)
    votes = human_eval.read_votes(run, project)
    if importlib.util.find_spec("sqlalchemy"):  # without the studio's extra, only votes in closed rounds are known
        everything = [q for each in human_eval.posted_pairs(run).values() for q in each]
        votes = questions.matching(everything, live(project))
        jsonl.write(run / human_eval.FOLDER / human_eval.VOTES, [line(vote) for vote in votes])
    result = human_eval.write(run, project, votes, points)
    if as_json:
        print(as_json_text(result))
        return
    for text in people_text.sentences(result):
        print(text.replace("\u00a0", " "))
    if not result["complete"]:
        print(f"Judge the others in `trueward studio`, project {project}; this command counts them again.")
    print(f"The whole report: {run / 'report.html'}")


def live(project: str) -> list[Any]:
    """All votes that count in a project so far, including the open round's; the project is created if it isn't there."""
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
            row = projects.find(connection, project)
            if row is None:
                return []
            votes = [v for v in counts.votes(connection, row.id) if v.check_id is None]
            texts = rounds.responses(connection, votes)
            return [rounds.comparison(project, vote, texts) for vote in votes]
    finally:
        base.close()
