"""Links for panels: an admin makes them, and whoever opens one is at work, blind, with no name and no password."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Request, Response
from pydantic import Field
from sqlalchemy import Connection

from trueward.studio.api.place import MOST_ID, Admin, Body, Here, Person, whoever
from trueward.studio.api.route import Route
from trueward.studio.api.sessions import attempt, entering, set_cookie
from trueward.studio.api.work import named
from trueward.studio.store import panels

router = APIRouter(prefix="/api", route_class=Route)
PanelId = Annotated[int, Path(ge=1, le=MOST_ID)]
NAMED = Field("", max_length=200)


class NewPanel(Body):
    """A link for a panel: how many items each person judges, how many people may come, and what they get at the end."""

    items: int = Field(ge=1, le=1000)
    places: int = Field(ge=1, le=10_000)
    code: str = Field("", max_length=100)
    redirect: str = Field("", max_length=500)


class OpenPanel(Body):
    """Whether new people may begin."""

    active: bool


class Opened(Body):
    """A link's key, and what the panel calls whoever opens it."""

    key: str = Field(max_length=100)
    participant: str = NAMED
    study: str = NAMED
    session: str = NAMED


@router.post("/panel")
def enter(
    body: Opened, here: Here, request: Request, response: Response, person: Annotated[Person | None, Depends(whoever)]
) -> dict[str, Any]:
    """Begin a sitting, or go on with it."""
    who = panels.Participant(body.participant, body.study, body.session)
    account = person.id if person is not None and person.role == panels.ROLE else None
    with attempt(here, entering(request)) as right:
        try:
            session = here.database.write(lambda connection: panels.enter(connection, body.key, who, account))
        except ValueError as error:
            raise HTTPException(409, str(error)) from None
        right(session is not None)
    if session is None:
        raise HTTPException(404, "there is no such study")
    set_cookie(here, response, session)
    return {}


@router.get("/projects/{name}/panels")
def everything(name: str, here: Here, person: Admin) -> list[dict[str, Any]]:
    """The links of a project."""
    with here.database.reading() as connection:
        return panels.all_of(connection, named(connection, name).id)


@router.post("/projects/{name}/panels")
def add(name: str, body: NewPanel, here: Here, person: Admin) -> dict[str, Any]:
    """Make a link; its key is in this reply alone."""

    def work(connection: Connection) -> dict[str, Any]:
        project = named(connection, name)
        if project.kind == "write":
            raise ValueError(
                f"{name}: a link for a panel opens a project to compare or rank in, this is one to write in"
            )
        made, key = panels.create(connection, project.id, body.items, body.places, body.code, body.redirect)
        return {"id": made, "key": key}

    try:
        return here.database.write(work)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


@router.post("/panels/{panel_id}/active")
def active(panel_id: PanelId, body: OpenPanel, here: Here, person: Admin) -> dict[str, Any]:
    """Open or close a link for new people."""
    if not here.database.write(lambda connection: panels.set_active(connection, panel_id, body.active)):
        raise HTTPException(404, "there is no such link")
    return {}
