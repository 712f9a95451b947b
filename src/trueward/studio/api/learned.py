"""What answers became: an annotator's own, once all are given; and the runs that train on a project."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException
from sqlalchemy import Connection

from trueward.studio.api.place import Here, Person, Reader, Worker
from trueward.studio.api.route import Route
from trueward.studio.api.work import named
from trueward.studio.runs import of_project
from trueward.studio.store import panels, queue, taught

router = APIRouter(prefix="/api", route_class=Route)


@router.get("/projects/{name}/taught")
def lesson(name: str, here: Here, person: Worker) -> dict[str, Any]:
    """What this account's choices go by, and how often others chose the same. 409 while there is something left to judge."""

    def read(connection: Connection) -> dict[str, Any]:
        project = named(connection, name)
        if project.kind != "compare":
            raise HTTPException(404, f"{name} is a project to write in")
        _refuse_early(connection, project, person, here.free)
        return taught.taught(connection, project.id, person.name)

    with here.database.reading() as connection:
        return read(connection)


def _refuse_early(connection: Connection, project: Any, person: Person, free: Any) -> None:
    """What others said must not come before one's own word; and a panel's members come for one part alone."""
    if person.role == panels.ROLE:
        raise HTTPException(403, "this link is for judging alone")
    if queue.progress(connection, project, person.id, free)["left"]:
        raise HTTPException(409, "there are pairs left for you to judge")


@router.get("/projects/{name}/runs")
def runs(name: str, here: Here, person: Reader) -> dict[str, Any]:
    """The runs that were trained on the project's closed rounds, or are measured by its people; the newest first."""
    with here.database.reading() as connection:
        named(connection, name)
    return {"runs": of_project.of_library(here.runs, name)}
