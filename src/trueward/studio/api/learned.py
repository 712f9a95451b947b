"""What answers became: an annotator's own, once all are given; and the runs that train on a project."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException
from sqlalchemy import Connection

from trueward.studio.api.place import Here, Reader, Worker
from trueward.studio.api.route import Route
from trueward.studio.api.work import named
from trueward.studio.runs import of_project
from trueward.studio.store import panels, queue, taught

router = APIRouter(prefix="/api", route_class=Route)


@router.get("/projects/{name}/taught")
def lesson(name: str, here: Here, person: Worker) -> dict[str, Any]:
    """What tells this account's choices, and how often others chose the same; `left` alone while there are pairs to judge.

    What others said must not come before one's own word.
    """
    if person.role == panels.ROLE:  # who comes for one part alone
        raise HTTPException(403, "this link is for judging alone")

    def read(connection: Connection) -> dict[str, Any]:
        project = named(connection, name)
        if project.kind != "compare":
            raise HTTPException(404, f"{name} is a project to {project.kind} in, and pairs alone teach")
        if left := queue.progress(connection, project, person.id, here.free)["left"]:
            return {"left": left}
        return {"left": 0, **taught.taught(connection, project.id, person.name)}

    with here.database.reading() as connection:
        return read(connection)


@router.get("/projects/{name}/runs")
def runs(name: str, here: Here, person: Reader) -> dict[str, Any]:
    """The runs that were trained on the project's closed rounds, or are measured by its people; the newest first."""
    with here.database.reading() as connection:
        named(connection, name)
    return {"runs": of_project.of_library(here.runs, name)}
