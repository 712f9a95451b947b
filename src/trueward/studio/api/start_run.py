"""Starting and ending a run over HTTP, where whoever started the studio allows it: admins alone, signed in at a page."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import Field

from trueward.studio.api.place import Admin, Body, Here, Person, Studio
from trueward.studio.api.route import Route
from trueward.studio.api.work import named
from trueward.studio.runs.starting import NotStartedError, RunStarter, recipes

router = APIRouter(prefix="/api", route_class=Route)
NOT_ALLOWED = "this studio starts no runs: it was started without --allow-runs"


class WantedRun(Body):
    """A shipped recipe, and what the run is called."""

    recipe: str = Field(max_length=64)
    run: str = Field(max_length=64)


@router.get("/projects/{name}/start")
def offer(name: str, here: Here, person: Admin) -> dict[str, Any]:
    """Whether runs can be started here, the recipes that read this project, and what was started last."""
    with here.database.reading() as connection:
        project = named(connection, name)
    if here.starter is None:
        return {"allowed": False, "recipes": [], "last": None}
    return {"allowed": True, "recipes": recipes(project.kind), "last": here.starter.now()}


@router.post("/projects/{name}/start")
def start(name: str, body: WantedRun, here: Here, person: Admin) -> dict[str, Any]:
    """Start a shipped recipe on all closed rounds of the project; what goes on then."""
    starter = allowed(here, person)
    with here.database.reading() as connection:
        project = named(connection, name)
    try:
        return starter.start(project.name, project.kind, body.recipe, body.run, person.name)
    except NotStartedError as error:
        raise HTTPException(409, str(error)) from None


@router.post("/started/stop")
def stop(here: Here, person: Admin) -> dict[str, Any]:
    """End the run that was started here."""
    return {"stopped": allowed(here, person).stop()}


def allowed(here: Studio, person: Person) -> RunStarter:
    """What starts runs; error 403 where nothing does, and for scripts, whose tokens lie in files."""
    if here.starter is None:
        raise HTTPException(403, NOT_ALLOWED)
    if person.by != "session":
        raise HTTPException(403, "a token starts and ends no run: sign in")
    return here.starter
